//! The program with fake engines and hosts: no engine and no privileges are needed.

mod support;

mod program {
    mod broker;
    mod compression;
    mod engine_answers;
    mod extcap_output;
    mod extcap_parser;
    mod fifo_output;
    mod golden_texts;
    mod hostile_hosts;
    mod hostile_requests;
    mod hostile_streams;
    mod hostile_tcpdump;
    mod hostile_uploads;
    mod multiple_engines;
    mod peer_protocol;
    mod refused_captures;
    mod remote_list_cache;
    mod ring_buffer_files;
    mod saved_hosts;
    mod tap_container_faults;
    mod upload_scripts;
}

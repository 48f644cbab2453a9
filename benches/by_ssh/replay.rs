//! What stands for our program on the other host: says what that says, and then a file instead of packets, through
//! the same output. A capture itself would be what is measured, on the same two processors.

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::path::Path;

use containerdump::peer;
use containerdump::request::PeerRequest;
use containerdump::session::Output;
use containerdump::stop::Stop;

/// Written at once: as much as a session has read by then.
const CHUNK_LEN: usize = 256 * 1024;

/// Says the stream in `file` to whoever asks for a capture.
pub(crate) fn say(file: &Path, only_hello: bool) {
    print!("{}", peer::hello());
    std::io::stdout().flush().expect("somebody listens");
    if only_hello {
        return;
    }
    let PeerRequest::Capture(request) = PeerRequest::read(input()).expect("a request") else {
        panic!("it is not the request of a capture")
    };
    let stop = Stop::watch(false).and_then(Stop::with_lifeline).expect("descriptors");
    let mut output = Output::stdout().expect("standard output").compressed(request.compress);
    let (mut file, mut bytes) = (File::open(file).expect("the stream"), vec![0; CHUNK_LEN]);
    while let Ok(count @ 1..) = file.read(&mut bytes) {
        if output.write(&mut [IoSlice::new(&bytes[..count])], &stop).is_err() {
            return;
        }
    }
}

/// Standard input, without a buffer: what comes after the request is for others.
fn input() -> File {
    use std::os::fd::AsFd as _;
    File::from(std::io::stdin().as_fd().try_clone_to_owned().expect("standard input"))
}

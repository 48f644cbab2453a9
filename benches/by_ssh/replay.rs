//! Stands in for the program on the remote host: the same protocol and output, with a file instead of a capture, which
//! would dominate the measurement on the same processors.

use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::path::Path;

use containerdump::peer;
use containerdump::request::PeerRequest;
use containerdump::session::Output;
use containerdump::stop::Stop;

/// Bytes written at once, as by a session.
const CHUNK_LEN: usize = 256 * 1024;

/// Answers a capture request with the stream in `file`.
pub(crate) fn say(file: &Path, only_hello: bool) {
    print!("{}", peer::hello());
    std::io::stdout().flush().expect("standard output is open");
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

/// Unbuffered standard input: the bytes after the request are read by others.
fn input() -> File {
    use std::os::fd::AsFd as _;
    File::from(std::io::stdin().as_fd().try_clone_to_owned().expect("standard input"))
}

//! An engine at a TCP address.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use containerdump::container::endpoint::Endpoint;

use super::tap_container::socket;

/// Forwards a TCP port to the engine's socket.
pub(crate) fn relay(url: &str) -> Endpoint {
    relay_at("127.0.0.1:0", url)
}

/// The same at the given address.
pub(crate) fn relay_at(address: &str, url: &str) -> Endpoint {
    let listener = TcpListener::bind(address).expect("a port");
    let address = listener.local_addr().expect("its address");
    let Endpoint::Unix(socket) = socket(url) else { unreachable!("it is a socket") };
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let unix = UnixStream::connect(&socket).expect("the engine");
            let (from_tcp, from_unix) = (tcp.try_clone().expect("tcp"), unix.try_clone().expect("unix"));
            std::thread::spawn(move || {
                carry(from_tcp, &unix, |unix| unix.shutdown(std::net::Shutdown::Write));
            });
            std::thread::spawn(move || {
                carry(from_unix, &tcp, |tcp: &TcpStream| tcp.shutdown(std::net::Shutdown::Write));
            });
        }
    });
    Endpoint::Tcp(address.to_string())
}

pub(crate) fn carry<To>(mut from: impl std::io::Read, to: &To, end: impl Fn(&To) -> std::io::Result<()>)
where
    for<'a> &'a To: std::io::Write,
{
    let _ = std::io::copy(&mut from, &mut &*to);
    let _ = end(to);
}

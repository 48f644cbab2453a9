//! The program Wireshark starts.
fn main() {}

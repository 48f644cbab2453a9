//! Puts the program where Wireshark looks.
fn main() {}

//! What the two programs say to each other before anything else.

/// The first word that the program says there.
pub const HELLO: &str = "containerdump-peer";
/// The version of the protocol: fields of a request ([`crate::request`]), JSON of the list, stream of a capture.
pub const PROTOCOL: u32 = 2;

/// The first line that the program says there.
pub fn hello() -> String {
    format!("{HELLO} {PROTOCOL} {}\n", env!("CARGO_PKG_VERSION"))
}

/// The protocol and the version in a first line, if it is one; what a login shell printed without a line end is before it.
pub(crate) fn parse_hello(line: &str) -> Option<(u32, &str)> {
    let (protocol, version) = line.trim_end().split_once(HELLO)?.1.strip_prefix(' ')?.split_once(' ')?;
    Some((protocol.parse().ok()?, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_known_by_its_first_word() {
        assert_eq!(parse_hello(&hello()), Some((PROTOCOL, env!("CARGO_PKG_VERSION"))));
        assert_eq!(parse_hello("\u{1b}]0;ann\u{7}containerdump-peer 2 0.9\r"), Some((2, "0.9")));
        assert_eq!(parse_hello("containerdump-peers 1 x"), None);
        assert_eq!(parse_hello("containerdump-peer x 1"), None);
    }
}

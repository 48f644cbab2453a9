//! The network interfaces of this network namespace.

use std::fmt;
use std::str::FromStr;

use super::{LOOPBACK, Links};

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareAddress(pub [u8; 6]);

/// A network interface of this namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, unescaped.
    pub name: String,
    /// Its MAC address; `None` where it has none.
    pub address: Option<HardwareAddress>,
    /// Whether its packets begin with an Ethernet header.
    pub is_ethernet: bool,
    /// Whether it is up.
    pub is_up: bool,
}

/// The interfaces of `links`, by index.
pub fn devices(Links(links): &Links) -> Vec<Device> {
    let mut links: Vec<_> = links.iter().collect();
    links.sort_by_key(|link| link.index);
    let device = |link: &super::netlink::Link| Device {
        name: link.name.clone(),
        address: link
            .address
            .as_slice()
            .try_into()
            .ok()
            .map(HardwareAddress)
            .filter(|one| one.0 != NO_ADDRESS),
        is_ethernet: link.is_ethernet,
        is_up: link.is_up,
    };
    links.into_iter().map(device).collect()
}

/// The address of loopback interfaces.
const NO_ADDRESS: [u8; 6] = [0; 6];

impl Device {
    /// Whether it is the loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.name == LOOPBACK
    }
}

/// `02:42:ac:11:00:02`
impl fmt::Display for HardwareAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        formatter.write_str(&bytes.join(":"))
    }
}

impl FromStr for HardwareAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid MAC address '{text}' (expected for example 02:42:ac:11:00:02)");
        let is_byte = |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| is_byte(part));
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read_as_they_are_written() {
        let address = HardwareAddress([2, 0x42, 0xac, 0x11, 0, 2]);
        assert_eq!(address.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02:42:AC:11:00:02".parse(), Ok(address));
        for wrong in ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2", "+2:42:ac:11:00:02"] {
            assert!(wrong.parse::<HardwareAddress>().is_err(), "{wrong}");
        }
    }
}

//! Numbers with units.

/// A number of bytes in a suitable unit; 1 kB is 1000 bytes.
pub(crate) fn format_bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} bytes");
    }
    let (mut tenths, mut unit) = (count / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::format_bytes;

    #[test]
    fn bytes_are_shown_in_a_suitable_unit() {
        assert_eq!(format_bytes(999), "999 bytes");
        assert_eq!(format_bytes(1000), "1.0 kB");
        assert_eq!(format_bytes(1_250_000), "1.2 MB");
        assert_eq!(format_bytes(u64::MAX), "18446744.0 TB");
    }
}

//! When a capture stops and when the next file begins, as dumpcap's `-a` and `-b`.

use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Limits of a capture or of one of its files; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes of a file.
    pub bytes: Option<u64>,
    /// Time.
    pub duration: Option<Duration>,
    /// The next file begins when the time since the epoch is a multiple of this (`-b` only).
    pub interval: Option<Duration>,
    /// Number of files, after which to stop (`-a`) or which to keep (`-b`).
    pub files: Option<usize>,
}

/// One condition, such as `duration:60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `packets:N`.
    Packets(u64),
    /// `filesize:N`, given in units of 1000 bytes, as in dumpcap.
    Filesize(u64),
    /// `duration:N`, in seconds, with a fraction if wanted.
    Duration(Duration),
    /// `interval:N`, in seconds.
    Interval(Duration),
    /// `files:N`.
    Files(usize),
}

impl Limit {
    /// Parses a condition of `-a`, which stops a capture.
    ///
    /// Fails with a message if `text` is not one.
    pub fn parse_autostop(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Self::Interval(_) => Err("interval:SECONDS is for -b".to_owned()),
            limit => Ok(limit),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "'{text}' is none of duration:SECONDS, interval:SECONDS, filesize:KB, packets:COUNT, files:COUNT"
            )
        };
        let (name, value) = text.split_once(':').ok_or_else(invalid)?;
        let count = || value.parse::<u64>().ok().filter(|count| *count > 0).ok_or_else(invalid);
        match name {
            "packets" => Ok(Self::Packets(count()?)),
            "filesize" => Ok(Self::Filesize(count()?.saturating_mul(1000))),
            "interval" => Ok(Self::Interval(Duration::from_secs(count()?))),
            "files" => Ok(Self::Files(usize::try_from(count()?).map_err(|_| invalid())?)),
            "duration" => {
                let seconds: f64 = value.parse().map_err(|_| invalid())?;
                let duration = Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?;
                if duration.is_zero() { Err(invalid()) } else { Ok(Self::Duration(duration)) }
            }
            _ => Err(invalid()),
        }
    }
}

impl FromIterator<Limit> for Limits {
    fn from_iter<T: IntoIterator<Item = Limit>>(limits: T) -> Self {
        let mut all = Self::default();
        for limit in limits {
            match limit {
                Limit::Packets(count) => all.packets = Some(count),
                Limit::Filesize(bytes) => all.bytes = Some(bytes),
                Limit::Duration(duration) => all.duration = Some(duration),
                Limit::Interval(interval) => all.interval = Some(interval),
                Limit::Files(count) => all.files = Some(count),
            }
        }
        all
    }
}

/// How much of some limits has been used.
#[derive(Debug)]
pub(in crate::session) struct LimitUsage {
    limits: Limits,
    packets: u64,
    bytes: u64,
    /// Those of packets.
    packet_bytes: u64,
    since: Instant,
    /// The smallest limit of time.
    max_time: Option<Duration>,
}

impl LimitUsage {
    pub(super) fn new(limits: Limits) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let to_interval = limits.interval.map(|interval| until_multiple(now, interval));
        let max_time = [limits.duration, to_interval].into_iter().flatten().min();
        Self { limits, packets: 0, bytes: 0, packet_bytes: 0, since: Instant::now(), max_time }
    }

    /// Whether a packet with a block of `bytes` bytes is within the limits.
    pub(super) fn has_room(&self, bytes: u32) -> bool {
        let bytes = self.bytes + u64::from(bytes);
        // The first packet always fits, so that no file is empty.
        self.packets == 0
            || (self.limits.packets.is_none_or(|max| self.packets < max)
                && self.limits.bytes.is_none_or(|max| bytes <= max))
    }

    /// Whether the limit of packets is reached.
    pub(super) fn is_full(&self) -> bool {
        self.limits.packets.is_some_and(|max| self.packets >= max)
    }

    /// The time left, if it is limited.
    pub(in crate::session) fn time_left(&self) -> Option<Duration> {
        Some(self.max_time?.saturating_sub(self.since.elapsed()))
    }

    /// Whether the time is over.
    pub(in crate::session) fn is_over(&self) -> bool {
        self.time_left() == Some(Duration::ZERO)
    }

    pub(super) fn add_packet(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += u64::from(bytes);
        self.packet_bytes += u64::from(bytes);
    }

    /// Adds the blocks that a file repeats. Half of its limit is left for packets, so that files stay few.
    pub(super) fn add_repeated(&mut self, bytes: usize) {
        let max = self.limits.bytes.map_or(u64::MAX, |max| max / 2);
        self.bytes += (bytes as u64).min(max);
    }

    /// Bytes of packets.
    pub(super) fn packet_bytes(&self) -> u64 {
        self.packet_bytes
    }

    /// The limit of bytes.
    pub(super) fn max_bytes(&self) -> Option<u64> {
        self.limits.bytes
    }

    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

/// The time from `now`, since the epoch, to the next multiple of `interval`, which is not zero.
fn until_multiple(now: Duration, interval: Duration) -> Duration {
    let passed = now.as_nanos() % interval.as_nanos().max(1);
    interval.saturating_sub(Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_ends_at_a_multiple_of_itself() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        assert_eq!(until_multiple(ms(100_250), s(10)), ms(9750));
        assert_eq!(until_multiple(s(100), s(10)), s(10));
    }

    #[test]
    fn conditions_are_parsed_as_in_dumpcap() {
        assert_eq!("filesize:10".parse(), Ok(Limit::Filesize(10_000)));
        assert_eq!("duration:0.5".parse(), Ok(Limit::Duration(Duration::from_millis(500))));
        assert_eq!("interval:60".parse(), Ok(Limit::Interval(Duration::from_mins(1))));
        assert_eq!("files:3".parse(), Ok(Limit::Files(3)));
        for invalid in ["files:0", "duration:-1", "duration:NaN", "size:3", "packets", "packets:x"] {
            assert!(invalid.parse::<Limit>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn repeated_blocks_leave_half_of_a_file_for_packets() {
        let mut usage = LimitUsage::new([Limit::Filesize(1000)].into_iter().collect());
        usage.add_repeated(1000);
        usage.add_packet(300);
        assert!(usage.has_room(200) && !usage.has_room(201));
        let mut usage = LimitUsage::new([Limit::Filesize(1000)].into_iter().collect());
        usage.add_repeated(100);
        usage.add_packet(300);
        assert!(usage.has_room(600) && !usage.has_room(601));
    }

    #[test]
    fn a_packet_larger_than_the_limit_still_gets_a_file() {
        let mut usage = LimitUsage::new([Limit::Filesize(100)].into_iter().collect());
        assert!(usage.has_room(200));
        usage.add_packet(200);
        assert!(!usage.has_room(1));
    }
}

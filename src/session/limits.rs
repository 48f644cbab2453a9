//! When a capture is complete and when its file is, as users of dumpcap know it: `-a` and `-b`.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// Bounds of a capture or of one file of it; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes of a file.
    pub bytes: Option<u64>,
    /// Time.
    pub duration: Option<Duration>,
    /// Files: after which to stop (`-a`), or to keep (`-b`).
    pub files: Option<usize>,
}

/// One condition, `duration:60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `packets:N`.
    Packets(u64),
    /// `filesize:N`, in units of 1000 bytes as in dumpcap.
    Filesize(u64),
    /// `duration:N`, in seconds, with a fraction if wanted.
    Duration(Duration),
    /// `files:N`.
    Files(usize),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is none of duration:SECONDS, filesize:KB, packets:COUNT, files:COUNT");
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let count = || value.parse::<u64>().ok().filter(|count| *count > 0).ok_or_else(wrong);
        match name {
            "packets" => Ok(Self::Packets(count()?)),
            "filesize" => Ok(Self::Filesize(count()?.saturating_mul(1000))),
            "files" => Ok(Self::Files(usize::try_from(count()?).map_err(|_| wrong())?)),
            "duration" => {
                let seconds: f64 = value.parse().map_err(|_| wrong())?;
                let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
                if duration.is_zero() { Err(wrong()) } else { Ok(Self::Duration(duration)) }
            }
            _ => Err(wrong()),
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
                Limit::Files(count) => all.files = Some(count),
            }
        }
        all
    }
}

/// What has been used of some limits.
#[derive(Debug)]
pub(super) struct Used {
    limits: Limits,
    packets: u64,
    bytes: u64,
    since: Instant,
}

impl Used {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, packets: 0, bytes: 0, since: Instant::now() }
    }

    /// Whether a packet whose block has `bytes` bytes fits in.
    pub(super) fn has_room(&self, bytes: u32) -> bool {
        let bytes = self.bytes + u64::from(bytes);
        // One packet always fits: a file of none would be followed by another of none.
        self.packets == 0
            || (self.limits.packets.is_none_or(|most| self.packets < most)
                && self.limits.bytes.is_none_or(|most| bytes <= most))
    }

    /// Whether the last packet that is wanted is in.
    pub(super) fn is_full(&self) -> bool {
        self.limits.packets.is_some_and(|most| self.packets >= most)
    }

    /// The time left, if it is limited.
    pub(super) fn time_left(&self) -> Option<Duration> {
        Some(self.limits.duration?.saturating_sub(self.since.elapsed()))
    }

    /// Whether the time is over.
    pub(super) fn is_over(&self) -> bool {
        self.time_left() == Some(Duration::ZERO)
    }

    pub(super) fn add_packet(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += u64::from(bytes);
    }

    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_dumpcap_reads_them() {
        assert_eq!("filesize:10".parse(), Ok(Limit::Filesize(10_000)));
        assert_eq!("duration:0.5".parse(), Ok(Limit::Duration(Duration::from_millis(500))));
        assert_eq!("files:3".parse(), Ok(Limit::Files(3)));
        for wrong in ["files:0", "duration:-1", "duration:NaN", "size:3", "packets", "packets:x"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_packet_larger_than_the_limit_still_gets_a_file() {
        let mut used = Used::new([Limit::Filesize(100)].into_iter().collect());
        assert!(used.has_room(200));
        used.add_packet(200);
        assert!(!used.has_room(1));
    }
}

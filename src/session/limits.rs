//! When a capture is complete and when its file is, as users of dumpcap know it: `-a` and `-b`.

use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bounds of a capture or of one file of it; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes of a file.
    pub bytes: Option<u64>,
    /// Time.
    pub duration: Option<Duration>,
    /// The next file begins when the time of day is a multiple of this, seconds since 1970 (`-b` only).
    pub interval: Option<Duration>,
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
    /// `interval:N`, in seconds.
    Interval(Duration),
    /// `files:N`.
    Files(usize),
}

impl Limit {
    /// A condition that ends a whole capture, and not one file of it.
    ///
    /// Fails when `text` is none.
    pub fn of_capture(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Self::Interval(_) => Err("interval:SECONDS is for -b".to_owned()),
            limit => Ok(limit),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is none of duration:SECONDS, interval:SECONDS, filesize:KB, packets:COUNT, files:COUNT"
            )
        };
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let count = || value.parse::<u64>().ok().filter(|count| *count > 0).ok_or_else(wrong);
        match name {
            "packets" => Ok(Self::Packets(count()?)),
            "filesize" => Ok(Self::Filesize(count()?.saturating_mul(1000))),
            "interval" => Ok(Self::Interval(Duration::from_secs(count()?))),
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
                Limit::Interval(interval) => all.interval = Some(interval),
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
    /// How long it may last.
    time: Option<Duration>,
}

impl Used {
    pub(super) fn new(limits: Limits) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = [limits.duration, limits.interval.map(|interval| until_multiple(now, interval))];
        let time = until.into_iter().flatten().min();
        Self { limits, packets: 0, bytes: 0, since: Instant::now(), time }
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
        Some(self.time?.saturating_sub(self.since.elapsed()))
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

/// The time from `now`, since 1970, until the next multiple of `interval`, which is not zero.
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
    fn conditions_are_read_as_dumpcap_reads_them() {
        assert_eq!("filesize:10".parse(), Ok(Limit::Filesize(10_000)));
        assert_eq!("duration:0.5".parse(), Ok(Limit::Duration(Duration::from_millis(500))));
        assert_eq!("interval:60".parse(), Ok(Limit::Interval(Duration::from_mins(1))));
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

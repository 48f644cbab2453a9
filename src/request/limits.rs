//! Limits of the fields of a request.

use std::ops::RangeInclusive;

/// Entries of a list.
const MAX_ENTRIES: usize = 1000;
/// Bytes of an entry: the longest name of a container (500 characters), and one of its interfaces.
const MAX_ENTRY_LEN: usize = 4096;

/// Fails when the field `name` has too many texts, or one that is too long.
pub(super) fn check_texts<T: AsRef<str>>(name: &str, texts: &[T]) -> Result<(), String> {
    if texts.len() > MAX_ENTRIES {
        return Err(format!("{name} has {} entries, more than {MAX_ENTRIES}", texts.len()));
    }
    texts.iter().try_for_each(|text| check_text(name, text.as_ref(), MAX_ENTRY_LEN))
}

/// Fails when a text of the field `name` has more than `max_len` bytes.
pub(super) fn check_text(name: &str, text: &str, max_len: usize) -> Result<(), String> {
    if text.len() > max_len {
        return Err(format!("{name} has a text of {} bytes, more than {max_len}", text.len()));
    }
    Ok(())
}

/// Fails when the field `name` is out of `range`.
pub(super) fn check_number(name: &str, number: u32, range: &RangeInclusive<u32>) -> Result<(), String> {
    if range.contains(&number) {
        return Ok(());
    }
    Err(format!("{name} is {number}, not from {} to {}", range.start(), range.end()))
}

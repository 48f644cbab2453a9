//! Whose packets were lost.

use std::collections::BTreeMap;

use crate::safe_text::SafeText;

/// What was lost of each interface that lost any. One that came back has several blocks, and is told of once.
pub(super) fn of_each(lost: impl Iterator<Item = (SafeText, u64)>) -> Vec<(SafeText, u64)> {
    let mut losses: BTreeMap<SafeText, u64> = BTreeMap::new();
    for (name, count) in lost.filter(|(_, count)| *count > 0) {
        *losses.entry(name).or_default() += count;
    }
    losses.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_came_back_is_told_of_once() {
        let lost = [("web:eth0", 3), ("db:eth0", 0), ("web:eth0", 4)];
        let told = of_each(lost.into_iter().map(|(name, count)| (SafeText::new(name), count)));
        assert_eq!(told, [(SafeText::new("web:eth0"), 7)]);
    }
}

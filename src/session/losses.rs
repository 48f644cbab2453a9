//! Whose packets were lost.

use std::collections::BTreeMap;

use crate::text::Label;

/// What was lost of each interface that lost any. One that came back has several blocks, and is told of once.
pub(super) fn of_each(lost: impl Iterator<Item = (Label, u64)>) -> Vec<(Label, u64)> {
    let mut losses: BTreeMap<Label, u64> = BTreeMap::new();
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
        let told = of_each(lost.into_iter().map(|(name, count)| (Label::new(name), count)));
        assert_eq!(told, [(Label::new("web:eth0"), 7)]);
    }
}

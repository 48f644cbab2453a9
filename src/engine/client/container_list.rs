//! The answer to `/containers/json`, read element by element: one that cannot be read does not hide the others.

use std::fmt;
use std::time::Instant;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::container_fields::ContainerJson;

/// Containers taken from one answer; the rest count as unreadable.
const MAX_CONTAINERS: usize = 10_000;
/// Texts taken from one answer, a measure of memory: 40 for each of these containers.
const MAX_TEXTS: usize = 400_000;

/// The containers of an answer.
#[derive(Debug, Default)]
pub(crate) struct ContainerList {
    pub(crate) containers: Vec<ContainerJson>,
    /// Number of those that could not be read, or are beyond the limits.
    pub(crate) unreadable: usize,
}

impl ContainerList {
    /// Fails when `json` is no list, and when that is not known at `deadline`.
    pub(crate) fn parse(json: &str, deadline: Instant) -> Result<Self, serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(json);
        let list = ListParser { deadline }.deserialize(&mut parser)?;
        parser.end().map(|()| list)
    }
}

struct ListParser {
    deadline: Instant,
}

impl ListParser {
    fn check_deadline<E: serde::de::Error>(&self) -> Result<(), E> {
        if Instant::now() > self.deadline { Err(E::custom("the time is over")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for ListParser {
    type Value = ContainerList;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ContainerList, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListParser {
    type Value = ContainerList;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<ContainerList, A::Error> {
        let (mut list, mut texts) = (ContainerList::default(), 0);
        while list.containers.len() + list.unreadable < MAX_CONTAINERS && texts < MAX_TEXTS {
            let Some(element) = elements.next_element::<&RawValue>()? else { return Ok(list) };
            match serde_json::from_str::<ContainerJson>(element.get()) {
                Ok(container) => {
                    texts += container.text_count();
                    list.containers.push(container);
                }
                Err(_) => list.unreadable += 1,
            }
            self.check_deadline()?;
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {
            list.unreadable += 1;
            if list.unreadable.is_multiple_of(1024) {
                self.check_deadline()?;
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(json: &str) -> Result<ContainerList, serde_json::Error> {
        ContainerList::parse(json, Instant::now() + Duration::from_mins(1))
    }

    #[test]
    fn containers_beyond_the_limits_count_as_unreadable() {
        let list = parse(&format!("[{}7]", r#"{"Id":"x"},"#.repeat(MAX_CONTAINERS + 5))).expect("a list");
        assert_eq!((list.containers.len(), list.unreadable), (MAX_CONTAINERS, 6));
        let labels: Vec<String> = (0..1000).map(|number| format!(r#""{number}":"""#)).collect();
        let container = format!(r#"{{"Labels":{{{}}}}},"#, labels.join(","));
        let list = parse(&format!("[{}7]", container.repeat(500))).expect("a list");
        assert_eq!((list.containers.len(), list.unreadable), (MAX_TEXTS / 1000, 101));
    }

    #[test]
    fn a_list_that_takes_too_long_is_not_read() {
        assert!(ContainerList::parse("[{},{}]", Instant::now()).is_err());
        assert!(parse("[{},{}]").is_ok() && parse("{}").is_err() && parse("[{}] x").is_err());
    }
}

//! Values read from the engine's JSON, of whatever type it is there, and only as far as they are kept.
//!
//! bollard's types and `serde_json::Value` hold a whole answer, ninety times its size in the worst case.

use std::marker::PhantomData;
use std::{cmp, fmt};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that is the default where the JSON has another type.
pub(in crate::engine) trait Lenient: Default {
    fn from_text(_: &str) -> Self {
        Self::default()
    }

    fn from_integer(_: i64) -> Self {
        Self::default()
    }

    fn from_bool(_: bool) -> Self {
        Self::default()
    }

    /// Fails when the JSON is invalid.
    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        skip_entries(object).map(|()| Self::default())
    }

    /// Fails when the JSON is invalid.
    fn from_list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        skip_elements(list).map(|()| Self::default())
    }
}

/// Reads a field: `#[serde(deserialize_with = "lenient")]`.
///
/// Fails when the JSON is invalid.
pub(in crate::engine) fn lenient<'de, D: Deserializer<'de>, T: Lenient>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(LenientVisitor(PhantomData))
}

/// An element, key or value of any type.
pub(in crate::engine) struct AnyJson<T>(pub(in crate::engine) T);

impl<'de, T: Lenient> Deserialize<'de> for AnyJson<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lenient(deserializer).map(Self)
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Lenient> Visitor<'de> for LenientVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::from_integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(i64::try_from(number).map_or_else(|_| T::default(), T::from_integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::from_bool(value))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::from_object(object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::from_list(list)
    }
}

/// Reads the remaining entries of an object and keeps none.
///
/// Fails when the JSON is invalid.
pub(super) fn skip_entries<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_elements<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// An object whose fields are read, each with [`lenient`].
pub(in crate::engine) trait LenientObject: Default + DeserializeOwned {}

impl<T: LenientObject> Lenient for T {
    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object))
    }
}

/// The beginning of a text, of at most so many bytes.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct JsonText<const MAX_LEN: usize>(pub(in crate::engine) String);

impl<const MAX_LEN: usize> Lenient for JsonText<MAX_LEN> {
    fn from_text(text: &str) -> Self {
        Self(text[..text.floor_char_boundary(MAX_LEN)].to_owned())
    }
}

/// The first texts of a list.
#[derive(Debug, Default)]
pub(super) struct JsonTexts<const MAX_LEN: usize, const MAX_COUNT: usize>(pub(super) Vec<String>);

impl<const MAX_LEN: usize, const MAX_COUNT: usize> Lenient for JsonTexts<MAX_LEN, MAX_COUNT> {
    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut texts = Vec::with_capacity(cmp::min(list.size_hint().unwrap_or(0), MAX_COUNT));
        while texts.len() < MAX_COUNT {
            match list.next_element::<AnyJson<JsonText<MAX_LEN>>>()? {
                Some(AnyJson(JsonText(text))) if text.is_empty() => {}
                Some(AnyJson(JsonText(text))) => texts.push(text),
                None => return Ok(Self(texts)),
            }
        }
        skip_elements(list).map(|()| Self(texts))
    }
}

impl Lenient for i64 {
    fn from_integer(number: i64) -> Self {
        number
    }
}

impl Lenient for bool {
    fn from_bool(value: bool) -> Self {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Example {
        #[serde(deserialize_with = "lenient")]
        text: JsonText<4>,
        #[serde(deserialize_with = "lenient")]
        texts: JsonTexts<4, 2>,
        #[serde(deserialize_with = "lenient")]
        number: i64,
    }

    fn read(json: &str) -> Example {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn a_value_of_another_type_is_the_default() {
        for other in ["null", "true", "1.5", "18446744073709551615", "{\"a\":[{}]}", "[[[7]],{}]"] {
            let example =
                read(&format!(r#"{{"text":{other},"number":{other},"texts":{other},"else":{other}}}"#));
            assert_eq!(
                (example.text.0.as_str(), example.number, example.texts.0.len()),
                ("", 0, 0),
                "{other}"
            );
        }
        let example = read(r#"{"text":"x","number":-7,"texts":[7,"a",null,"b"]}"#);
        assert_eq!(
            (example.text.0.as_str(), example.number, example.texts.0),
            ("x", -7, vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn long_texts_and_lists_are_cut() {
        let example = read(r#"{"text":"abcé","texts":["12345","b","c","d"]}"#);
        assert_eq!(
            (example.text.0.as_str(), example.texts.0),
            ("abc", vec!["1234".to_owned(), "b".to_owned()])
        );
    }
}

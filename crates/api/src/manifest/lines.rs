//! Where the fields of a YAML text stand, read only when there is something to complain about.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::parse::read::join;

/// Line by document and path.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<BTreeMap<String, u64>>);

impl Lines {
    /// Reads a text that was read before; gives nothing when it cannot be read this way.
    pub(super) fn of(text: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(text) else { return Self::default() };
        let documents = serde_saphyr::from_multiple_with_options::<Spanned<Place>>(text, super::options());
        let map = |document: &Spanned<Place>| {
            let mut lines = BTreeMap::new();
            document.value.walk(document.referenced.line(), String::new(), &mut lines);
            lines
        };
        Self(documents.unwrap_or_default().iter().map(map).collect())
    }

    /// The line of a field, or of the nearest thing around it.
    pub(super) fn of_field(&self, document: usize, field: &str) -> Option<u64> {
        let lines = self.0.get(document)?;
        let mut path = field;
        loop {
            if let Some(line) = lines.get(path) {
                return Some(*line).filter(|line| *line > 0);
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
        }
    }
}

/// The shape of a document without its values.
#[derive(Debug)]
enum Place {
    Leaf,
    List(Vec<Spanned<Place>>),
    Mapping(Vec<(String, Spanned<Place>)>),
}

impl Place {
    fn walk(&self, line: u64, path: String, lines: &mut BTreeMap<String, u64>) {
        match self {
            Self::Leaf => {}
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.value.walk(item.referenced.line(), format!("{path}[{index}]"), lines);
                }
            }
            Self::Mapping(members) => {
                for (name, member) in members {
                    member.value.walk(member.referenced.line(), join(&path, name), lines);
                }
            }
        }
        lines.insert(path, line);
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Place;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_none<E>(self) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Place, E> {
        Ok(Place::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Place, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Place::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Place, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_entry()? {
            list.push(member);
        }
        Ok(Place::Mapping(list))
    }
}

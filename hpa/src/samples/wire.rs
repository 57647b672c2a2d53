//! PodMetrics as they come, borrowed from their text.

use flyball_model::quantity::Quantity;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// Usage of one pod.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct WirePod<'a> {
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) window: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) containers: Vec<Container<'a>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) namespace: Text<'a>,
    #[serde(borrow)]
    pub(super) labels: Option<Pairs<Text<'a>, Text<'a>>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Container<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) usage: Pairs<Text<'a>, Quantity>,
}

impl Container<'_> {
    pub(super) fn name(&self) -> &str {
        &self.name.0
    }

    /// Resource and milli-units.
    pub(super) fn usage(&self) -> impl ExactSizeIterator<Item = (&str, i64)> {
        self.usage.0.iter().map(|(name, quantity)| (&*name.0, quantity.milli_value()))
    }
}

impl<'a> WirePod<'a> {
    /// Reads an object.
    ///
    /// # Errors
    ///
    /// It is none of a pod.
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        super::quick::object(text).map_or_else(|| serde_json::from_slice(text), Ok)
    }
}

impl WirePod<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.metadata.name.0
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.metadata.namespace.0
    }

    /// `None`: this API does not tell labels.
    pub(super) fn labels(&self) -> Option<LabelsOf<'_>> {
        self.metadata.labels.as_ref().map(LabelsOf)
    }

    pub(super) fn timestamp(&self) -> &str {
        self.timestamp.as_ref().map_or("", |text| &text.0)
    }

    pub(super) fn window(&self) -> &str {
        self.window.as_ref().map_or("", |text| &text.0)
    }
}

/// Labels in the order in which they came.
pub(super) struct LabelsOf<'a>(&'a Pairs<Text<'a>, Text<'a>>);

impl LabelsOf<'_> {
    pub(super) fn to_map(&self) -> std::collections::BTreeMap<String, String> {
        self.0.0.iter().map(|(key, value)| (key.0.to_string(), value.0.to_string())).collect()
    }
}

impl Hash for LabelsOf<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (key, value) in &self.0.0 {
            key.0.hash(state);
            value.0.hash(state);
        }
    }
}

/// A string, borrowed where it holds no escapes.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// An object's members in their order; `null` has none.
#[derive(Debug)]
pub(super) struct Pairs<K, V>(pub(super) Vec<(K, V)>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Pairs(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Pairs<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Members<K, V> {
            type Value = Pairs<K, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Pairs::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_any(Members(PhantomData))
    }
}

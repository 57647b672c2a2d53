//! What pods are to use: the simulation's annotations and the values in them.

use std::collections::BTreeMap;

use flyball_model::quantity::Quantity;

use super::SimulationError;
use super::meter::Usage;

/// CPU of the whole pod.
pub const CPU: &str = "sim.flyball.io/cpu";
/// Memory of the whole pod.
pub const MEMORY: &str = "sim.flyball.io/memory";
/// CPU of the whole app, shared by its ready pods.
pub const LOAD_CPU: &str = "sim.flyball.io/load-cpu";
/// Memory of the whole app, shared by its ready pods.
pub const LOAD_MEMORY: &str = "sim.flyball.io/load-memory";
/// Name of the app a pod belongs to.
pub const APP: &str = "sim.flyball.io/app";
/// `"false"` keeps a running pod from becoming ready.
pub const READY: &str = "sim.flyball.io/ready";
/// Time from running to ready, a Go duration.
pub const STARTUP: &str = "sim.flyball.io/startup";

/// What a container uses that nothing is said about.
pub const DEFAULT: Usage = Usage { nanocores: 1_000_000, bytes: 16 * 1024 * 1024 };

/// An amount for a pod or an app: of nanocores or of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// Split evenly among containers.
    Whole(u64),
    /// By container; those without a name here use nothing.
    ByContainer(BTreeMap<String, u64>),
}

impl Amount {
    /// CPU: `250m`, or `main=200m,side=50m`.
    ///
    /// # Errors
    /// The text is no quantity, or one below zero.
    pub fn cpu(text: &str) -> Result<Self, SimulationError> {
        Self::parse(text, |quantity| quantity.nano_value().and_then(|nano| u64::try_from(nano).ok()))
    }

    /// Memory: `64Mi`, or `main=64Mi,side=16Mi`.
    ///
    /// # Errors
    /// The text is no quantity, or one below zero.
    pub fn memory(text: &str) -> Result<Self, SimulationError> {
        Self::parse(text, |quantity| u64::try_from(quantity.value()).ok())
    }

    fn parse(text: &str, units: impl Fn(Quantity) -> Option<u64>) -> Result<Self, SimulationError> {
        let refused =
            |reason: &str| SimulationError::Amount { text: text.to_owned(), reason: reason.to_owned() };
        let amount = |text: &str| {
            let quantity: Quantity = text.trim().parse().map_err(|error| refused(&format!("{error}")))?;
            units(quantity).ok_or_else(|| refused("below zero or too large"))
        };
        if !text.contains('=') {
            return amount(text).map(Self::Whole);
        }
        let named = text.split(',').map(|part| {
            let (name, value) = part.split_once('=').ok_or_else(|| refused("CONTAINER=QUANTITY expected"))?;
            Ok((name.trim().to_owned(), amount(value)?))
        });
        named.collect::<Result<_, _>>().map(Self::ByContainer)
    }

    /// The part of `container`, one of `containers`, where `pods` share the amount. Rounded down.
    #[must_use]
    pub fn share(&self, container: &str, containers: usize, pods: usize) -> u64 {
        let (amount, parts) = match self {
            Self::Whole(amount) => (*amount, containers),
            Self::ByContainer(amounts) => (amounts.get(container).copied().unwrap_or(0), 1),
        };
        amount / u64::try_from((parts * pods).max(1)).unwrap_or(u64::MAX)
    }
}

/// Amounts of CPU and memory, each given or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Nanocores.
    pub cpu: Option<Amount>,
    /// Bytes.
    pub memory: Option<Amount>,
}

impl Demand {
    /// Reads the annotations with these two names.
    ///
    /// # Errors
    /// A value is no amount.
    pub fn from_annotations(
        annotations: &BTreeMap<String, String>,
        cpu: &str,
        memory: &str,
    ) -> Result<Self, SimulationError> {
        Ok(Self {
            cpu: annotations.get(cpu).map(|text| Amount::cpu(text)).transpose()?,
            memory: annotations.get(memory).map(|text| Amount::memory(text)).transpose()?,
        })
    }

    /// This demand, with what it leaves open taken from `other`.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.clone().or_else(|| other.cpu.clone()),
            memory: self.memory.clone().or_else(|| other.memory.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_split_evenly_or_by_container() {
        let cases = [
            ("250m", "a", 2, 1, 125_000_000),
            ("1", "a", 1, 7, 142_857_142),
            ("a=200m,b=50m", "b", 2, 5, 10_000_000),
            ("a=200m", "b", 2, 1, 0),
            ("1", "a", 0, 0, 1_000_000_000),
        ];
        for (text, container, containers, pods, expected) in cases {
            assert_eq!(Amount::cpu(text).unwrap().share(container, containers, pods), expected, "{text}");
        }
        assert_eq!(Amount::memory("64Mi").unwrap().share("a", 2, 2), 16 << 20);
    }

    #[test]
    fn what_is_no_amount_is_refused_with_its_text() {
        for text in ["", "x", "-1", "a=1,2", "a=", "1e40"] {
            let error = Amount::cpu(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}

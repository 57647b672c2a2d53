//! What an answer of a backend means for objects.
//!
//! A value becomes thousandths, cut off towards zero as upstream does. NaN, infinities and what no quantity can hold
//! are no values: the object is left out and [`LeftOut`] says why. Absent is not zero.

use std::collections::HashMap;
use std::sync::Arc;

use flyball_model::labels::Labels;
use thiserror::Error;

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// All labels, with `__name__` where the query keeps it.
    pub labels: Arc<Labels>,
    /// Unix milliseconds.
    pub timestamp_ms: i64,
    /// May be NaN or infinite.
    pub value: f64,
}

/// What becomes of NaN and infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// As if there were no sample; said in [`Values::left_out`].
    #[default]
    LeaveOut,
    /// Zero: of NaN prometheus-adapter answers so. What is finite and too large is left out all the same.
    Zero,
}

/// One object's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectValue {
    /// Name of the object.
    pub name: String,
    /// In thousandths, cut off towards zero as upstream does.
    pub milli: i64,
    /// Unix milliseconds.
    pub timestamp_ms: i64,
}

/// A sample that is no value.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Name of the object; of an external metric, its labels.
    pub name: String,
    /// NaN, an infinity, or too large.
    pub value: f64,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.value {
            value if value.is_nan() => "NaN (often a division of zero by zero)",
            value if value.is_infinite() => "infinite (often a division by zero)",
            _ => "larger than a quantity can hold",
        };
        write!(out, "{} is left out: its value is {why}", self.name)
    }
}

/// Values of the objects that were asked for, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// Those with a value.
    pub items: Vec<ObjectValue>,
    /// Names without a sample.
    pub without_sample: Vec<String>,
    /// Samples that are no values.
    pub left_out: Vec<LeftOut>,
}

/// Why an answer gives no values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    /// An object has several samples.
    #[error(
        "{object:?} has {count} series in the answer, where one is needed: the query must aggregate by (<<.GroupBy>>)"
    )]
    Several {
        /// Its name.
        object: String,
        /// How many.
        count: usize,
    },
}

/// Thousandths of a value; `None` when it is no number, or beyond 64 bits of them.
pub fn milli(value: f64, non_finite: NonFinite) -> Option<i64> {
    /// 2^63, the first number that is too large.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if !value.is_finite() {
        return (non_finite == NonFinite::Zero).then_some(0);
    }
    let thousandths = (value * 1000.0).trunc();
    (thousandths.abs() < LIMIT).then_some(thousandths as i64)
}

#[derive(Debug, Clone)]
struct Found {
    timestamp_ms: i64,
    value: f64,
    count: usize,
}

/// An answer, ordered by namespace and object, so that many requests can be answered from it.
#[derive(Debug, Clone, Default)]
pub struct Grouped {
    /// Under the empty namespace when the answer is of one namespace, or of root objects.
    namespaces: HashMap<Box<str>, HashMap<Box<str>, Found>>,
    by_namespace: bool,
}

impl Grouped {
    /// Orders an answer. Without a namespace label all samples belong to the one namespace that was asked for.
    /// Samples without the labels are of no object, and dropped.
    pub fn of(samples: &[Sample], object_label: &str, namespace_label: Option<&str>) -> Grouped {
        let mut grouped = Grouped { by_namespace: namespace_label.is_some(), ..Grouped::default() };
        for sample in samples {
            let namespace = match namespace_label {
                None => "",
                Some(label) => match sample.labels.get(label) {
                    Some(namespace) => namespace,
                    None => continue,
                },
            };
            let Some(object) = sample.labels.get(object_label) else { continue };
            if !grouped.namespaces.contains_key(namespace) {
                grouped.namespaces.insert(namespace.into(), HashMap::new());
            }
            let Some(objects) = grouped.namespaces.get_mut(namespace) else { continue };
            match objects.get_mut(object) {
                Some(found) => found.count += 1,
                None => {
                    let found = Found { timestamp_ms: sample.timestamp_ms, value: sample.value, count: 1 };
                    objects.insert(object.into(), found);
                }
            }
        }
        grouped
    }

    /// Values of these objects; `namespace` counts only when the answer was ordered by a namespace label.
    ///
    /// # Errors
    /// See [`ValueError`].
    pub fn values(
        &self,
        namespace: Option<&str>,
        names: &[String],
        non_finite: NonFinite,
    ) -> Result<Values, ValueError> {
        let namespace = if self.by_namespace { namespace.unwrap_or_default() } else { "" };
        let objects = self.namespaces.get(namespace);
        let mut values = Values::default();
        for name in names {
            let Some(found) = objects.and_then(|objects| objects.get(name.as_str())) else {
                values.without_sample.push(name.clone());
                continue;
            };
            if found.count > 1 {
                return Err(ValueError::Several { object: name.clone(), count: found.count });
            }
            match milli(found.value, non_finite) {
                Some(milli) => {
                    values.items.push(ObjectValue {
                        name: name.clone(),
                        milli,
                        timestamp_ms: found.timestamp_ms,
                    });
                }
                None => values.left_out.push(LeftOut { name: name.clone(), value: found.value }),
            }
        }
        Ok(values)
    }
}

/// One value of an external metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalValue {
    /// Labels of the answer's element, with `__name__` where the query keeps it.
    pub labels: Arc<Labels>,
    /// In thousandths.
    pub milli: i64,
    /// Unix milliseconds.
    pub timestamp_ms: i64,
}

/// Values of an external metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExternalValues {
    /// In the order of the answer.
    pub items: Vec<ExternalValue>,
    /// Samples that are no values.
    pub left_out: Vec<LeftOut>,
}

/// Values of an external metric from an answer; a scalar is one sample without labels.
pub fn external_values(samples: &[Sample], non_finite: NonFinite) -> ExternalValues {
    let mut values = ExternalValues::default();
    for sample in samples {
        match milli(sample.value, non_finite) {
            Some(milli) => {
                let (labels, timestamp_ms) = (sample.labels.clone(), sample.timestamp_ms);
                values.items.push(ExternalValue { labels, milli, timestamp_ms });
            }
            None => {
                let pairs: Vec<String> =
                    sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                values
                    .left_out
                    .push(LeftOut { name: format!("{{{}}}", pairs.join(",")), value: sample.value });
            }
        }
    }
    values
}

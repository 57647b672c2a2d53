//! What an answer of a backend means for objects.

use std::sync::Arc;

use flyball_model::labels::Labels;
use thiserror::Error;

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels, without the metric's name.
    pub labels: Arc<Labels>,
    /// Unix milliseconds.
    pub timestamp_ms: i64,
    /// May be NaN or infinite.
    pub value: f64,
}

/// What becomes of a value that is no number, or beyond what a quantity can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// As if there were no sample; said in [`Values::left_out`].
    #[default]
    LeaveOut,
    /// NaN becomes zero, as prometheus-adapter answers; infinities are left out all the same.
    NanIsZero,
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
    /// Name of the object.
    pub name: String,
    /// NaN, an infinity, or too large.
    pub value: f64,
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
        "{object:?} has {count} samples in the answer, where one is needed: the query must aggregate by (<<.GroupBy>>)"
    )]
    Several {
        /// Its name.
        object: String,
        /// How many.
        count: usize,
    },
}

/// An answer, ordered by namespace and object, so that many requests can be answered from it.
#[derive(Debug, Clone, Default)]
pub struct Grouped {}

impl Grouped {
    /// Orders an answer. Without a namespace label all samples belong to the one namespace that was asked for.
    pub fn of(_samples: &[Sample], _object_label: &str, _namespace_label: Option<&str>) -> Grouped {
        unimplemented!()
    }

    /// Values of these objects; `namespace` counts only when the answer was ordered by a namespace label.
    ///
    /// # Errors
    /// See [`ValueError`].
    pub fn values(
        &self,
        _namespace: Option<&str>,
        _names: &[String],
        _non_finite: NonFinite,
    ) -> Result<Values, ValueError> {
        unimplemented!()
    }
}

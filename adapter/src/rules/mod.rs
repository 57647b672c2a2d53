//! Rules compiled; the catalogue of what exists; queries for requests; values from answers.
//!
//! ```text
//! config ─ RuleSet::compile ─▶ rules ─ Catalogue::of (with series) ─▶ catalogue ─ plan_custom ─▶ QueryPlan
//!     answer of the backend ─ Grouped::of ─▶ grouped ─ Grouped::values ─▶ Values
//! ```
//!
//! Queries are prometheus-adapter's, text for text, with two differences: names of objects are escaped where they stand in
//! an expression, and names that need quotes get them.

mod answer;
mod catalogue;
mod compiled;
mod expression;
mod labels;
mod plan;
mod query;
mod resource;
mod shared;

pub use answer::{
    ExternalValue, ExternalValues, Grouped, LeftOut, NonFinite, ObjectValue, Sample, ValueError, Values,
    external_values, milli,
};
pub use catalogue::{Catalogue, CustomMetric, MAX_METRICS, Quantile, SeriesShape, Shadowed, Skipped, Source};
pub use compiled::{NameFilter, Rule, RuleSet};
pub(crate) use labels::LabelMap;
pub use labels::LabelMeaning;
pub use plan::{CustomRequest, ExternalPlan, PlanError, QueryPlan, Shared};
pub use resource::{ContainerUsage, NodeUsage, PodUsage, UsagePlan, UsageProbe, UsageQuery, UsageRules};

#[cfg(test)]
mod tests;

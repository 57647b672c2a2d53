//! Rules compiled; the catalogue of what exists; queries for requests; values from answers.
//!
//! ```text
//! config ─ RuleSet::compile ─▶ rules ─ Catalogue::of (with series) ─▶ catalogue ─ plan_custom ─▶ QueryPlan
//!     answer of the backend ─ Grouped::of ─▶ grouped ─ Grouped::values ─▶ Values
//! ```

mod answer;
mod catalogue;
mod compiled;
mod plan;

pub use answer::{Grouped, LeftOut, NonFinite, ObjectValue, Sample, ValueError, Values};
pub use catalogue::{Catalogue, CustomMetric, SeriesShape};
pub use compiled::{Rule, RuleSet};
pub use plan::{CustomRequest, ExternalPlan, PlanError, QueryPlan, Shared};

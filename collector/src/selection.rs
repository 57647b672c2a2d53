//! Which families and labels are served: a named set or a list, and labels to leave out.

use crate::error::CollectorError;
use crate::table::{Metric, Sets};
use std::collections::BTreeSet;
use std::str::FromStr;

/// Labels that can be left out: no two series of a family differ in one of them alone, as long as groups without a name
/// are left out with `id`.
const DROPPABLE: [&str; 3] = ["id", "image", "name"];

/// Families of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Families {
    /// A named set.
    Set(Sets),
    /// These.
    Named(BTreeSet<String>),
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    families: Families,
    dropped: BTreeSet<String>,
}

impl Default for Selection {
    /// Everything.
    fn default() -> Selection {
        Selection { families: Families::Set(Sets::FULL), dropped: BTreeSet::new() }
    }
}

impl FromStr for Families {
    type Err = CollectorError;

    /// `resource`, `dashboards`, `full`, or names of families separated by commas.
    fn from_str(text: &str) -> Result<Families, CollectorError> {
        match text {
            "resource" => Ok(Families::Set(Sets::RESOURCE)),
            "dashboards" => Ok(Families::Set(Sets::DASHBOARDS)),
            "full" => Ok(Families::Set(Sets::FULL)),
            list => {
                let names: BTreeSet<String> = list
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .filter(|name| !name.is_empty())
                    .collect();
                match names.is_empty() {
                    true => Err(CollectorError::Invalid {
                        setting: "metrics",
                        reason: "must be resource, dashboards, full or names separated by commas".to_owned(),
                    }),
                    false => Ok(Families::Named(names)),
                }
            }
        }
    }
}

impl Selection {
    /// `known` are the families there are; a name that is none of them is refused, as is a label that series need.
    ///
    /// # Errors
    /// Names the family or the label.
    pub fn new(
        families: Families,
        dropped: impl IntoIterator<Item = String>,
        known: &[&Metric],
    ) -> Result<Selection, CollectorError> {
        if let Families::Named(names) = &families
            && let Some(unknown) = names.iter().find(|name| !known.iter().any(|metric| metric.names(name)))
        {
            let reason = format!("{unknown} is no metric of the collector; docs/metrics.md lists them");
            return Err(CollectorError::Invalid { setting: "metrics", reason });
        }
        let dropped: BTreeSet<String> = dropped.into_iter().collect();
        if let Some(needed) = dropped.iter().find(|label| !DROPPABLE.contains(&label.as_str())) {
            let reason = format!("{needed} cannot be left out; only {} can", DROPPABLE.join(", "));
            return Err(CollectorError::Invalid { setting: "drop-labels", reason });
        }
        Ok(Selection { families, dropped })
    }

    /// Whether a family is served.
    pub fn has(&self, metric: &Metric) -> bool {
        match &self.families {
            Families::Set(set) => metric.sets.has(*set),
            Families::Named(names) => names.iter().any(|name| metric.names(name)),
        }
    }

    /// Whether a label is left out.
    pub fn drops(&self, label: &str) -> bool {
        self.dropped.contains(label)
    }

    /// Whether a group is shown: without `id`, groups without a name could not be told apart.
    pub fn keeps(&self, name: &str) -> bool {
        !name.is_empty() || !self.drops("id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Source;
    use flyball_model::exposition::MetricType;

    const KNOWN: Metric = Metric::new("a_bytes", MetricType::Gauge, &[], "Help.", Source::both("file"));

    #[test]
    fn sets_and_lists() {
        let full = Selection::default();
        assert!(full.has(&KNOWN) && full.keeps(""));
        let of = |text: &str| Selection::new(text.parse().unwrap(), [], &[&KNOWN]);
        assert!(!of("resource").unwrap().has(&KNOWN));
        assert!(of(" a_bytes ,").unwrap().has(&KNOWN));
        assert!(of("b_bytes").unwrap_err().to_string().contains("b_bytes is no metric"));
        assert!("".parse::<Families>().is_err() && ", ,".parse::<Families>().is_err());
    }

    #[test]
    fn labels_that_series_need_stay() {
        let of = |label: &str| Selection::new(Families::Set(Sets::FULL), [label.to_owned()], &[]);
        let without_id = of("id").unwrap();
        assert!(without_id.drops("id") && !without_id.keeps("") && without_id.keeps("web"));
        assert!(of("pod").unwrap_err().to_string().contains("pod cannot be left out"));
    }
}

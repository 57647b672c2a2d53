//! What a metric is, in one row: its name, type and labels, and which kernel files its value is made of.
//!
//! Every family that an endpoint of the collector serves is a row of that endpoint's table. The code that renders takes
//! name, help and type from the row, and `docs/metrics.md` is made of the same rows, so what is documented is what is
//! served. A row may stand for families whose names the kernel gives: it then has a part in angle brackets, as in
//! `node_memory_<field>_bytes`.

use flyball_model::exposition::MetricType;
use std::fmt::Write as _;

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name of the family, as in the text format 0.0.4.
    pub name: &'static str,
    /// Help text, as upstream has it.
    pub help: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// The unit that ends the name, where one does and `OpenMetrics` knows it.
    pub unit: Option<&'static str>,
    /// Names of its labels, ascending.
    pub labels: &'static [&'static str],
    /// What upstream says about how long it stays.
    pub stability: Stability,
    /// What its value is made of.
    pub source: Source,
    /// Sets it belongs to.
    pub sets: Sets,
}

/// How long upstream promises to keep a metric as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Kept.
    Stable,
    /// May change.
    Alpha,
    /// Will go.
    Deprecated,
    /// Upstream says nothing.
    Unsaid,
}

/// Kernel file and field, in words, on machines with control groups of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// On v1.
    pub v1: &'static str,
    /// On v2.
    pub v2: &'static str,
}

impl Source {
    /// The same on both.
    pub const fn both(from: &'static str) -> Source {
        Source { v1: from, v2: from }
    }
}

/// Which of the sets a metric belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sets(u8);

impl Sets {
    /// What a kubelet's `/metrics/resource` has.
    pub const RESOURCE: Sets = Sets(1);
    /// What the usual dashboards and alerts ask for.
    pub const DASHBOARDS: Sets = Sets(2);
    /// All there is.
    pub const FULL: Sets = Sets(4);

    /// Both of two.
    #[must_use]
    pub const fn and(self, other: Sets) -> Sets {
        Sets(self.0 | other.0)
    }

    /// Whether `other` is among them.
    #[must_use]
    pub const fn has(self, other: Sets) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Metric {
    /// A row with the usual rest: no unit, nothing said of stability, the full set.
    pub const fn new(
        name: &'static str,
        kind: MetricType,
        labels: &'static [&'static str],
        help: &'static str,
        source: Source,
    ) -> Metric {
        let (unit, stability, sets) = (None, Stability::Unsaid, Sets::FULL);
        Metric { name, help, kind, unit, labels, stability, source, sets }
    }

    /// Also in the set of the dashboards.
    #[must_use]
    pub const fn dashboards(mut self) -> Metric {
        self.sets = self.sets.and(Sets::DASHBOARDS);
        self
    }

    /// Whether this row is the one of a family called `name`.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        match (self.name.split_once('<'), self.name.rsplit_once('>')) {
            (Some((start, _)), Some((_, end))) => {
                name.len() > start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
            }
            _ => self.name == name,
        }
    }
}

/// The rows as a Markdown table, in the order given.
#[must_use]
pub fn markdown(rows: &[Metric]) -> String {
    let mut text = "| metric | type | labels | from | sets |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let source = match row.source {
            Source { v1, v2 } if v1 == v2 => cell(v1),
            Source { v1, v2 } => format!("v1: {}; v2: {}", cell(v1), cell(v2)),
        };
        let _ = writeln!(
            text,
            "| `{}` | {}{} | {} | {source} | {} |",
            row.name,
            kind_word(row.kind),
            stability_word(row.stability),
            labels.join(" "),
            sets_words(row.sets)
        );
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn kind_word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::Summary => "summary",
        MetricType::Untyped => "untyped",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
        MetricType::GaugeHistogram => "gaugehistogram",
    }
}

fn stability_word(stability: Stability) -> &'static str {
    match stability {
        Stability::Stable => ", stable",
        Stability::Alpha => ", alpha",
        Stability::Deprecated => ", deprecated",
        Stability::Unsaid => "",
    }
}

fn sets_words(sets: Sets) -> String {
    let all = [(Sets::RESOURCE, "resource"), (Sets::DASHBOARDS, "dashboards"), (Sets::FULL, "full")];
    let words: Vec<&str> = all.into_iter().filter(|(set, _)| sets.has(*set)).map(|(_, word)| word).collect();
    words.join(", ")
}

/// What is wrong with a table: rows that share a name, lack a help text or a source, have labels out of order, or break
/// the rule that counters, and nothing else, end with `_total`. `exceptions` are names for which upstream breaks it.
#[must_use]
pub fn faults(rows: &[Metric], exceptions: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let mut fault = |what: &str| faults.push(format!("{}: {what}", row.name));
        if rows[..index].iter().any(|earlier| earlier.name == row.name) {
            fault("two rows");
        }
        if row.help.is_empty() || row.source.v1.is_empty() || row.source.v2.is_empty() {
            fault("no help text, or nothing said of where it comes from");
        }
        if !row.labels.is_sorted_by(|a, b| a < b) {
            fault("labels are not ascending");
        }
        let total = row.name.ends_with("_total");
        if total != (row.kind == MetricType::Counter) && !exceptions.contains(&row.name) {
            fault("counters, and nothing else, end with _total");
        }
        if row.unit.is_some_and(|unit| !row.name.trim_end_matches("_total").ends_with(unit)) {
            fault("the unit does not end the name");
        }
        if !row.sets.has(Sets::FULL) {
            fault("not in the full set");
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Metric =
        Metric::new("a_total", MetricType::Counter, &["x", "y"], "Help.", Source::both("/proc/a | b"));

    #[test]
    fn rows_become_a_table() {
        let other = Metric {
            name: "b",
            kind: MetricType::Gauge,
            labels: &[],
            stability: Stability::Alpha,
            source: Source { v1: "one", v2: "two" },
            sets: Sets::RESOURCE.and(Sets::FULL),
            ..ROW
        };
        let text = markdown(&[ROW.dashboards(), other]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| `a_total` | counter | `x` `y` | /proc/a \\| b | dashboards, full |",
                "| `b` | gauge, alpha |  | v1: one; v2: two | resource, full |"
            ]
        );
    }

    #[test]
    fn faults_are_found() {
        assert!(faults(&[ROW], &[]).is_empty());
        let cases = [
            (Metric { name: "a", ..ROW }, "_total"),
            (Metric { kind: MetricType::Gauge, ..ROW }, "_total"),
            (Metric { labels: &["y", "x"], ..ROW }, "ascending"),
            (Metric { help: "", ..ROW }, "help"),
            (Metric { unit: Some("bytes"), ..ROW }, "unit"),
            (Metric { sets: Sets::RESOURCE, ..ROW }, "full set"),
        ];
        for (row, word) in cases {
            assert!(faults(&[row], &[]).iter().any(|fault| fault.contains(word)), "{word}");
        }
        assert_eq!(faults(&[ROW, ROW], &[]), ["a_total: two rows"]);
        assert!(faults(&[Metric { name: "a", ..ROW }], &["a"]).is_empty());
    }

    #[test]
    fn a_row_may_stand_for_names_the_kernel_gives() {
        let row = Metric { name: "node_memory_<field>_bytes", ..ROW };
        assert!(row.names("node_memory_Active_anon_bytes"));
        assert!(!row.names("node_memory_HugePages_Free") && !row.names("node_memory__bytes"));
        assert!(ROW.names("a_total") && !ROW.names("a"));
    }
}

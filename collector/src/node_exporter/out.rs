//! The body: families in whatever order they are read, sorted by name at the end.

use crate::table::Metric;
use flyball_model::exposition::{Format, MetricType, Writer};

/// Families as they come.
pub struct Out {
    writer: Writer,
    /// Where each family begins, and its name.
    starts: Vec<(usize, Name)>,
}

/// A family's name: that of a row, or one that the kernel gives.
type Name = std::borrow::Cow<'static, str>;

impl Out {
    /// An empty body.
    pub fn new(format: Format) -> Out {
        Out { writer: Writer::new(format), starts: Vec::with_capacity(512) }
    }

    /// Begins the family of a row.
    pub fn family(&mut self, row: &Metric) {
        self.starts.push((self.writer.written(), Name::Borrowed(row.name)));
        self.writer.family(row.name, row.help, row.kind, row.unit);
    }

    /// Begins a family whose name the kernel gives.
    pub fn named(&mut self, name: &str, help: &str, kind: MetricType) {
        self.starts.push((self.writer.written(), Name::Owned(name.to_owned())));
        self.writer.family(name, help, kind, None);
    }

    /// A sample of the family begun last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.writer.sample(name, labels, value, None);
    }

    /// A family of one sample without labels.
    pub fn one(&mut self, row: &Metric, value: f64) {
        self.family(row);
        self.sample(row.name, &[], value);
    }

    /// As [`Out::one`], with a name that the kernel gives.
    pub fn one_named(&mut self, name: &str, help: &str, kind: MetricType, value: f64) {
        self.named(name, help, kind);
        self.sample(name, &[], value);
    }

    /// A family of one label, a sample for each value that there is. No family without samples.
    pub fn each<'a>(
        &mut self,
        row: &Metric,
        label: &str,
        samples: impl Iterator<Item = (&'a str, Option<f64>)>,
    ) {
        let mut begun = false;
        for (of, value) in samples {
            let Some(value) = value else { continue };
            if !begun {
                self.family(row);
                begun = true;
            }
            self.sample(row.name, &[(label, of)], value);
        }
    }

    /// The whole body, families ascending by name.
    pub fn finish(self) -> String {
        let end = self.writer.written();
        let text = self.writer.finish();
        let ends = self.starts.iter().skip(1).map(|(start, _)| *start).chain(std::iter::once(end));
        let mut families: Vec<(&str, &str)> =
            self.starts.iter().zip(ends).map(|((start, name), end)| (&**name, &text[*start..end])).collect();
        families.sort_unstable();
        let mut out = String::with_capacity(text.len());
        for (_, family) in families {
            out.push_str(family);
        }
        out.push_str(&text[end..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Source;

    const ROW: Metric = Metric::new("b", MetricType::Gauge, &["l"], "Help.", Source::both("x"));

    #[test]
    fn families_are_sorted_and_whole() {
        for (format, end) in [(Format::Text004, ""), (Format::OpenMetrics10, "# EOF\n")] {
            let mut out = Out::new(format);
            out.each(&ROW, "l", [("1", Some(1.0)), ("2", None), ("\n# HELP a ", Some(2.0))].into_iter());
            out.each(&Metric { name: "c", ..ROW }, "l", [("1", None)].into_iter());
            out.one(&Metric { name: "a", ..ROW }, 3.0);
            let expected = concat!(
                "# HELP a Help.\n# TYPE a gauge\na 3\n",
                "# HELP b Help.\n# TYPE b gauge\nb{l=\"1\"} 1\nb{l=\"\\n# HELP a \"} 2\n"
            );
            assert_eq!(out.finish(), format!("{expected}{end}"));
        }
        assert_eq!(Out::new(Format::Text004).finish(), "");
    }
}

//! The samples of one answer in columns: one text, and for each sample where in it its name and labels stand.
//!
//! An answer of thousands of samples takes a handful of allocations instead of a dozen for each sample, and is read by
//! walking over it once. Order is the answer's. Positions are 32 bits wide, so the text is limited to
//! [`MAX_TEXT_BYTES`].

use std::fmt;

use crate::exposition::{Event, Format, ReadError, Reader};
use crate::labels::{Labels, LabelsError};
use crate::sample::Sample;

/// Longest text that is taken.
pub const MAX_TEXT_BYTES: usize = 1 << 30;

/// A piece of the text.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy)]
struct Row {
    name: Span,
    /// One past the last label of this sample; the first is where the sample before ends.
    labels_end: u32,
    value: f64,
    timestamp_ms: Option<i64>,
}

/// Samples that share one text.
#[derive(Clone, Default)]
pub struct Samples {
    text: String,
    rows: Vec<Row>,
    labels: Vec<(Span, Span)>,
}

/// One of them. Labels stand in the order of the answer.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Metric name.
    pub name: &'a str,
    /// The value; may be NaN or infinite.
    pub value: f64,
    /// When the source measured it, Unix milliseconds; `None` when it did not say.
    pub timestamp_ms: Option<i64>,
    text: &'a str,
    labels: &'a [(Span, Span)],
}

impl Samples {
    /// Reads a whole body; the first line that cannot be read is the error.
    ///
    /// # Errors
    /// That line, and why. A body above [`MAX_TEXT_BYTES`] is refused as line 0.
    pub fn read(text: String, format: Format) -> Result<Samples, ReadError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ReadError { line: 0, reason: format!("more than {MAX_TEXT_BYTES} bytes") });
        }
        let mut columns = Columns { start: text.as_ptr() as usize, ..Columns::new(text.len()) };
        let mut reader = Reader::new(&text, format);
        while let Some(event) = reader.next() {
            if let Event::Sample(sample) = event? {
                for (name, value) in &sample.labels {
                    columns.label(name, value);
                }
                columns.row(sample.name, sample.value, sample.timestamp_ms);
                reader.recycle(sample);
            }
        }
        let Columns { rows, labels, beyond, .. } = columns;
        let mut text = text;
        text.push_str(&beyond);
        Ok(Samples { text, rows, labels })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All of them, in the order of the answer.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = View<'_>> {
        let mut from = 0;
        self.rows.iter().map(move |row| {
            let to = row.labels_end as usize;
            let labels = &self.labels[from..to];
            from = to;
            let name = piece(&self.text, row.name);
            View { name, value: row.value, timestamp_ms: row.timestamp_ms, text: &self.text, labels }
        })
    }
}

/// Text of a span, which was made from this text.
fn piece(text: &str, span: Span) -> &str {
    &text[span.start as usize..span.end as usize]
}

impl<'a> View<'a> {
    /// The value of a label, `None` when there is no such label.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let found = self.labels.iter().find(|(have, _)| piece(self.text, *have) == name);
        found.map(|(_, value)| piece(self.text, *value))
    }

    /// Names and values.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        let (text, labels) = (self.text, self.labels);
        labels.iter().map(move |(name, value)| (piece(text, *name), piece(text, *value)))
    }

    /// A copy that owns its text.
    ///
    /// # Errors
    /// As [`Labels::from_pairs`]; a sample that was read has none of these faults.
    pub fn to_sample(&self) -> Result<Sample, LabelsError> {
        Ok(Sample {
            name: self.name.to_owned(),
            labels: Labels::from_pairs(self.labels())?,
            value: self.value,
            timestamp_ms: self.timestamp_ms,
        })
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        f.debug_map().entries(self.labels()).finish()?;
        write!(f, " {} {:?}", self.value, self.timestamp_ms)
    }
}

impl PartialEq for View<'_> {
    /// Equal name, labels in any order, value and time.
    fn eq(&self, other: &View<'_>) -> bool {
        let same_label = |(name, value)| other.label(name) == Some(value);
        self.name == other.name
            && self.value == other.value
            && self.timestamp_ms == other.timestamp_ms
            && self.labels.len() == other.labels.len()
            && self.labels().all(same_label)
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Samples) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(one, another)| one == another)
    }
}

impl FromIterator<Sample> for Samples {
    /// Samples from elsewhere than a text. What is beyond [`MAX_TEXT_BYTES`] is left out.
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Samples {
        let mut columns = Columns::new(0);
        for sample in samples {
            if columns.beyond.len() > MAX_TEXT_BYTES {
                break;
            }
            for (name, value) in sample.labels.iter() {
                columns.label(name, value);
            }
            columns.row(&sample.name, sample.value, sample.timestamp_ms);
        }
        Samples { text: columns.beyond, rows: columns.rows, labels: columns.labels }
    }
}

impl From<Vec<Sample>> for Samples {
    fn from(samples: Vec<Sample>) -> Samples {
        samples.into_iter().collect()
    }
}

/// The columns while they grow. Text that does not stand in the body (escapes were undone) goes `beyond` it.
struct Columns {
    start: usize,
    length: usize,
    beyond: String,
    rows: Vec<Row>,
    labels: Vec<(Span, Span)>,
}

impl Columns {
    fn new(length: usize) -> Columns {
        // A kubelet's line has about 150 bytes, and three labels.
        let lines = length / 128;
        let (rows, labels) = (Vec::with_capacity(lines), Vec::with_capacity(3 * lines));
        Columns { start: 0, length, beyond: String::new(), rows, labels }
    }

    fn label(&mut self, name: &str, value: &str) {
        let pair = (self.span(name), self.span(value));
        self.labels.push(pair);
    }

    fn row(&mut self, name: &str, value: f64, timestamp_ms: Option<i64>) {
        let name = self.span(name);
        self.rows.push(Row { name, labels_end: self.labels.len() as u32, value, timestamp_ms });
    }

    /// Where a text stands: in the body if it is a piece of it, else it is copied.
    fn span(&mut self, text: &str) -> Span {
        let offset = (text.as_ptr() as usize).wrapping_sub(self.start);
        let start = if offset < self.length && text.len() <= self.length - offset {
            offset
        } else {
            self.beyond.push_str(text);
            self.length + self.beyond.len() - text.len()
        };
        Span { start: start as u32, end: (start + text.len()) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Samples, ReadError> {
        Samples::read(text.to_owned(), Format::Text004)
    }

    #[test]
    fn columns_hold_what_the_reader_says() {
        let text =
            "# TYPE a counter\na 1 5\nb{pod=\"p\",x=\"a\\\"b\\n\\\\\",empty=\"\"} NaN\n\nc{l=\"é\"} -Inf\n";
        let samples = read(text).unwrap();
        let shown: Vec<String> = samples.iter().map(|sample| format!("{sample:?}")).collect();
        let expected = [
            "a{} 1 Some(5)",
            r#"b{"pod": "p", "x": "a\"b\n\\", "empty": ""} NaN None"#,
            r#"c{"l": "é"} -inf None"#,
        ];
        assert_eq!(shown, expected);
        let b = samples.iter().nth(1).unwrap();
        assert_eq!((b.label("empty"), b.label("none")), (Some(""), None));
        assert_eq!(samples.len(), 3);
    }

    #[test]
    fn the_first_bad_line_is_the_error() {
        assert_eq!(read("a 1\nb oops\nc 1\n").unwrap_err().line, 2);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn owned_samples_and_back() {
        let samples = read("a{y=\"2\",x=\"1\"} 1.5 7\nb 2\n").unwrap();
        let owned: Vec<Sample> = samples.iter().map(|sample| sample.to_sample().unwrap()).collect();
        assert_eq!(Samples::from(owned), samples, "the order of labels does not count");
        assert_ne!(read("a 1\n").unwrap(), read("a 2\n").unwrap());
        assert_ne!(read("a{x=\"1\"} 1\n").unwrap(), read("a{x=\"2\"} 1\n").unwrap());
    }
}

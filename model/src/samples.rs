//! The samples of one answer in columns: one text, and for each sample where in it its name and labels stand.
//!
//! An answer of thousands of samples takes a handful of allocations instead of a dozen for each sample, and is read by
//! walking over it once. Order is the answer's. Positions are 32 bits wide, so the text is limited to
//! [`MAX_TEXT_BYTES`].
//!
//! The families of an answer mostly list the same things in the same order, so a sample's labels are mostly written as
//! those of the family before. Such samples share one [set](View::label_set), and its labels are read once.

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
    set: u32,
    value: f64,
    timestamp_ms: Option<i64>,
}

/// Samples that share one text.
#[derive(Clone, Default)]
pub struct Samples {
    text: String,
    rows: Vec<Row>,
    labels: Vec<(Span, Span)>,
    /// One past the last label of each set; the first is where the set before ends.
    sets: Vec<u32>,
}

/// Columns without samples, for the next ones.
#[derive(Default)]
pub struct Room {
    rows: Vec<Row>,
    labels: Vec<(Span, Span)>,
    sets: Vec<u32>,
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
    set: u32,
    text: &'a str,
    labels: &'a [(Span, Span)],
}

impl Samples {
    /// Reads a whole body; the first line that cannot be read is the error.
    ///
    /// # Errors
    /// That line, and why. A body above [`MAX_TEXT_BYTES`] is refused as line 0.
    pub fn read(text: String, format: Format) -> Result<Samples, ReadError> {
        Samples::read_in(text, format, Room::default())
    }

    /// The same in the room of samples that are done with.
    ///
    /// # Errors
    /// As [`Samples::read`].
    pub fn read_in(text: String, format: Format, room: Room) -> Result<Samples, ReadError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ReadError { line: 0, reason: format!("more than {MAX_TEXT_BYTES} bytes") });
        }
        let mut columns = Columns { start: text.as_ptr() as usize, ..Columns::new(text.len(), room) };
        let mut reader = Reader::new(&text, format);
        let mut guess = Guess { texts: Vec::with_capacity(columns.sets.capacity()), ..Guess::default() };
        loop {
            while let Some((set, measured)) = guess.known(&mut reader) {
                let (value, timestamp_ms) = measured?;
                columns.row(guess.name, set, value, timestamp_ms);
            }
            match reader.next().transpose()? {
                None => break,
                Some(Event::Sample(sample)) => {
                    let set = guess.learn(sample.name, reader.series(), columns.sets.len() as u32);
                    let set = set.unwrap_or_else(|| {
                        columns.set(sample.labels.iter().map(|(name, value)| (*name, &**value)))
                    });
                    columns.row(sample.name, set, sample.value, sample.timestamp_ms);
                    reader.recycle(sample);
                }
                Some(_) => {}
            }
        }
        let Columns { rows, labels, sets, beyond, .. } = columns;
        let mut text = text;
        text.push_str(&beyond);
        Ok(Samples { text, rows, labels, sets })
    }

    /// The text they stood in, and their columns' room for others.
    pub fn into_room(self) -> (String, Room) {
        let Samples { text, mut rows, mut labels, mut sets } = self;
        rows.clear();
        labels.clear();
        sets.clear();
        (text, Room { rows, labels, sets })
    }

    /// How many sets of labels there are; see [`View::label_set`].
    pub fn label_sets(&self) -> usize {
        self.sets.len()
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
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = View<'_>> {
        self.rows.iter().map(|row| View {
            name: piece(&self.text, row.name),
            value: row.value,
            timestamp_ms: row.timestamp_ms,
            set: row.set,
            text: &self.text,
            labels: self.labels_of(row.set as usize),
        })
    }

    #[inline]
    fn labels_of(&self, set: usize) -> &[(Span, Span)] {
        let from = set.checked_sub(1).map_or(0, |before| self.sets[before]);
        &self.labels[from as usize..self.sets[set] as usize]
    }
}

/// Text of a span, which was made from this text.
#[inline]
fn piece(text: &str, span: Span) -> &str {
    &text[span.start as usize..span.end as usize]
}

impl<'a> View<'a> {
    /// The number of its set of labels, below [`Samples::label_sets`]. Samples with one number have the same labels; those
    /// with different numbers mostly have different ones, but need not.
    #[inline]
    pub fn label_set(&self) -> usize {
        self.set as usize
    }

    /// The value of a label, `None` when there is no such label.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let found = self.labels.iter().find(|(have, _)| piece(self.text, *have) == name);
        found.map(|(_, value)| piece(self.text, *value))
    }

    /// Names and values.
    #[inline]
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
        let mut columns = Columns::new(0, Room::default());
        for sample in samples {
            if columns.beyond.len() > MAX_TEXT_BYTES {
                break;
            }
            let set = columns.set(sample.labels.iter());
            columns.row(&sample.name, set, sample.value, sample.timestamp_ms);
        }
        let Columns { rows, labels, sets, beyond, .. } = columns;
        Samples { text: beyond, rows, labels, sets }
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
    sets: Vec<u32>,
}

impl Columns {
    fn new(length: usize, room: Room) -> Columns {
        let Room { mut rows, mut labels, mut sets } = room;
        // A kubelet's line has about 150 bytes, and three labels that two other families have as well.
        let lines = length / 128;
        rows.reserve(lines);
        labels.reserve(lines);
        sets.reserve(lines / 2);
        Columns { start: 0, length, beyond: String::new(), rows, labels, sets }
    }

    /// A new set of these labels.
    fn set<N: AsRef<str>, V: AsRef<str>>(&mut self, labels: impl IntoIterator<Item = (N, V)>) -> u32 {
        for (name, value) in labels {
            let pair = (self.span(name.as_ref()), self.span(value.as_ref()));
            self.labels.push(pair);
        }
        self.sets.push(self.labels.len() as u32);
        self.sets.len() as u32 - 1
    }

    fn row(&mut self, name: &str, set: u32, value: f64, timestamp_ms: Option<i64>) {
        let name = self.span(name);
        self.rows.push(Row { name, set, value, timestamp_ms });
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

/// Which series stands in the next line: of the same metric, with the labels that followed in the family before.
#[derive(Default)]
struct Guess<'a> {
    /// The metric of the line before.
    name: &'a str,
    /// The texts of labels met so far, with their sets.
    texts: Vec<(&'a str, u32)>,
    /// Where in them the labels of the next line stand.
    next: usize,
    /// Where in them the first labels of the present family stand.
    first: usize,
}

/// Value and time, or why they cannot be read.
type Measured = Result<(f64, Option<i64>), ReadError>;

/// So many things that the family before had may be missing in a row.
const GUESSES: usize = 4;

impl<'a> Guess<'a> {
    /// What the next line measured and of which set of labels, if the guess is right.
    fn known(&mut self, reader: &mut Reader<'a>) -> Option<(u32, Measured)> {
        let (text, set) = self.texts.get(self.next)?;
        let measured = reader.known_as(self.name, text)?;
        self.next += 1;
        Some((*set, measured))
    }

    /// Takes note of a line that was read in full: the set of its labels if they were met before, else they are those of
    /// the set `new`.
    fn learn(&mut self, name: &'a str, series: &'a str, new: u32) -> Option<u32> {
        // A name in quotes stands within the braces.
        let Some(text) = series.strip_prefix(name) else {
            *self = Guess { name: "", next: self.texts.len(), ..std::mem::take(self) };
            return None;
        };
        let begins = self.name != name;
        if begins {
            (self.name, self.next) = (name, self.first);
        }
        let mut ahead = self.texts.iter().enumerate().skip(self.next).take(GUESSES);
        let found = ahead.find(|(_, (known, _))| *known == text).map(|(at, (_, set))| (at, *set));
        let at = found.map_or(self.texts.len(), |(at, _)| at);
        if found.is_none() {
            self.texts.push((text, new));
        }
        // Something new among the known leaves the next of them where it is.
        if found.is_some() || begins || self.next + 1 == self.texts.len() {
            self.next = at + 1;
        }
        if begins {
            self.first = at;
        }
        found.map(|(_, set)| set)
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
    fn labels_of_the_family_before_are_read_once() {
        let family = |name: &str, labels: &[&str]| -> String {
            labels.iter().map(|labels| format!("{name}{labels} 1\n")).collect()
        };
        let sets = |text: &str| -> (Vec<usize>, usize) {
            let samples = read(text).unwrap();
            (samples.iter().map(|sample| sample.label_set()).collect(), samples.label_sets())
        };
        let (a, b, c, d) = ("{l=\"a\"}", "{l=\"b\"}", "{l=\"c\"}", "{ l=\"d\" }");
        let kubelet = family("cpu", &[a, b, c]) + "# TYPE m gauge\n" + &family("m", &[a, b, c]);
        assert_eq!(sets(&kubelet), (vec![0, 1, 2, 0, 1, 2], 3));
        let others = family("cpu", &[a, b, c]) + "node 1\nnode_m 2\n" + &family("pod", &[d, a]);
        assert_eq!(sets(&(others + &family("pod_m", &[d, a]))), (vec![0, 1, 2, 3, 3, 4, 5, 4, 5], 6));
        let gone = family("cpu", &[a, b, c, d]) + &family("m", &[b, d]) + &family("n", &[b, d]);
        assert_eq!(sets(&gone).0, [0, 1, 2, 3, 1, 3, 1, 3]);
        let come = family("cpu", &[a, c]) + &family("m", &[a, b, c]) + &family("n", &[a, c, b]);
        assert_eq!(sets(&come).0, [0, 1, 0, 2, 1, 0, 1, 2]);
        assert_eq!(sets(&family("cpu", &[a, a, a])).0, [0, 1, 2], "twice the same is as good as two");
        assert_eq!(sets("{\"a\",l=\"1\"} 1\n{\"a\",l=\"1\"} 1\n").0, [0, 1]);
    }

    #[test]
    fn a_guess_takes_nothing_that_reading_in_full_would_not() {
        let longer = "cpu{l=\"a\"} 1\ncpu{l=\"a\"}{l=\"b\"} 1\n";
        assert_eq!(read(longer).unwrap_err().line, 2);
        assert_eq!(read("cpu 1\ncpu{l=\"a\"} 1\ncpu_more 2\n").unwrap().len(), 3);
        assert_eq!(read("a{l=\"x\"} 1\nb{l=\"x\"} oops\n").unwrap_err().line, 2);
        assert_eq!(read("a{l=\"x\"} 1\na{l=\"y\"} 1\nb{l=\"x\"} 1\nb{l=\"y\"} 1 2 3\n").unwrap_err().line, 4);
    }

    proptest::proptest! {
        /// Whatever is guessed, what is read is what the reader says line by line.
        #[test]
        fn the_same_as_line_by_line(lines in proptest::collection::vec((0..3_usize, 0..5_usize, 0..3_usize), 0..40)) {
            let names = ["cpu", "cpu_more", "m"];
            let labels = ["", "{}", "{l=\"a\"}", "{l=\"a\",k=\"\\n\"}", "{l=\"b\"}"];
            let values = ["1", "2.5 7", "NaN"];
            let text: String = lines
                .iter()
                .map(|(name, label, value)| format!("{}{} {}\n", names[*name], labels[*label], values[*value]))
                .collect();
            let one_by_one: Vec<Sample> = text
                .split_inclusive('\n')
                .flat_map(|line| Reader::new(line, Format::Text004))
                .filter_map(|event| match event.unwrap() {
                    Event::Sample(sample) => Some(Sample {
                        name: sample.name.to_owned(),
                        labels: Labels::from_pairs(sample.labels.iter().map(|(name, value)| (*name, &**value))).unwrap(),
                        value: sample.value,
                        timestamp_ms: sample.timestamp_ms,
                    }),
                    _ => None,
                })
                .collect();
            let shown = |samples: &[Sample]| samples.iter().map(|sample| format!("{sample:?}")).collect::<Vec<_>>();
            let guessed: Vec<Sample> =
                read(&text).unwrap().iter().map(|sample| sample.to_sample().unwrap()).collect();
            proptest::prop_assert_eq!(shown(&guessed), shown(&one_by_one));
        }
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

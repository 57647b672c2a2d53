//! Text to events.

use std::borrow::Cow;

use super::line::{Line, Pairs, unescape};
use super::{Event, Format, MAX_LINE_BYTES, MetricType, ReadError, SampleRef};

/// Reads a body line by line. Comments and empty lines (0.0.4) give no event.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a str,
    format: Format,
    line: usize,
    /// OpenMetrics: `# EOF` was there.
    ended: bool,
    finished: bool,
    /// Room for the next sample's labels.
    spare: Pairs<'a>,
    /// What named the series of the last sample.
    series: &'a str,
}

impl<'a> Reader<'a> {
    /// A reader of `text`, which is in `format`.
    pub fn new(text: &'a str, format: Format) -> Reader<'a> {
        Reader { rest: text, format, line: 0, ended: false, finished: false, spare: Pairs::new(), series: "" }
    }

    /// Takes back a sample that is done with; the next one uses its room, so that reading many allocates once.
    pub fn recycle(&mut self, sample: SampleRef<'a>) {
        self.spare = sample.labels;
        self.spare.clear();
    }

    /// The text that named the series of the last sample, from its name to the closing brace.
    pub fn series(&self) -> &'a str {
        self.series
    }

    /// If the next line is a sample of exactly this series, as [`Reader::series`] told it once: its value and time. Labels
    /// that were read at the last scrape need not be read again. `None` leaves the line to [`Iterator::next`].
    pub fn known(&mut self, series: &str) -> Option<Result<(f64, Option<i64>), ReadError>> {
        self.known_as(series, "")
    }

    /// The same for a series in two pieces: what names its metric, and its labels with their braces.
    pub fn known_as(&mut self, name: &str, labels: &str) -> Option<Result<(f64, Option<i64>), ReadError>> {
        let after = self.rest.strip_prefix(name)?.strip_prefix(labels)?;
        // Braces behind the name, or more of a name, make another series.
        let value = after.trim_start_matches([' ', '\t']);
        let another = value.len() == after.len() || value.starts_with(['{', '\n', '\r', '#']);
        let series = name.len() + labels.len();
        if self.ended || series == 0 || another {
            return None;
        }
        let line = self.next_line()?;
        if line.len() > MAX_LINE_BYTES {
            return Some(Err(self.error(too_long(line))));
        }
        let measured = Line::new(&line[series..], self.format).measured();
        Some(measured.map_err(|reason| self.error(reason)))
    }

    fn sample(&mut self, line: &'a str) -> Result<Option<Event<'a>>, String> {
        let labels = std::mem::take(&mut self.spare);
        let (sample, series) = Line::new(line, self.format).sample(labels)?;
        self.series = series;
        Ok(Some(Event::Sample(sample)))
    }

    fn error(&self, reason: impl Into<String>) -> ReadError {
        ReadError { line: self.line, reason: reason.into() }
    }

    /// The next line without its end; `None` at the end of the text.
    fn next_line(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let line = match memchr::memchr(b'\n', self.rest.as_bytes()) {
            Some(end) => {
                let line = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                line
            }
            None => std::mem::take(&mut self.rest),
        };
        Some(line)
    }

    /// What one line says; `None` when it says nothing.
    fn event(&mut self, line: &'a str) -> Result<Option<Event<'a>>, String> {
        if line.len() > MAX_LINE_BYTES {
            return Err(too_long(line));
        }
        if self.ended {
            return Err("there is text after # EOF".into());
        }
        match self.format {
            Format::Text004 => {
                let line = line.trim_start_matches([' ', '\t']);
                match line.strip_prefix('#') {
                    Some(comment) => self.comment_004(comment),
                    None if line.is_empty() => Ok(None),
                    None => self.sample(line),
                }
            }
            Format::OpenMetrics10 => match line.strip_prefix("# ") {
                Some("EOF") => {
                    self.ended = true;
                    Ok(Some(Event::Eof))
                }
                Some(keyword) => self.meta_openmetrics(keyword).map(Some),
                None if line.is_empty() => Err("an empty line".into()),
                None => self.sample(line),
            },
        }
    }

    /// After `#`: HELP, TYPE, or a comment.
    fn comment_004(&self, comment: &'a str) -> Result<Option<Event<'a>>, String> {
        let comment = comment.trim_start_matches([' ', '\t']);
        let (keyword, rest) = comment.split_once([' ', '\t']).unwrap_or((comment, ""));
        let event = match keyword {
            "HELP" => self.help(rest, false)?,
            "TYPE" => self.metric_type(rest)?,
            _ => return Ok(None),
        };
        Ok(Some(event))
    }

    /// After `# `: HELP, TYPE or UNIT; OpenMetrics has no comments.
    fn meta_openmetrics(&self, text: &'a str) -> Result<Event<'a>, String> {
        let (keyword, rest) = text.split_once(' ').unwrap_or((text, ""));
        match keyword {
            "HELP" => self.help(rest, true),
            "TYPE" => self.metric_type(rest),
            "UNIT" => {
                let (name, unit) = Line::new(rest, self.format).name_and_rest()?;
                let suffix = name.strip_suffix(unit).is_some_and(|start| start.ends_with('_'));
                if unit.is_empty() || suffix {
                    Ok(Event::Unit { name, unit })
                } else {
                    Err(format!("unit {unit:?} does not end the name {name:?}"))
                }
            }
            _ => Err(format!("HELP, TYPE, UNIT or EOF was expected, not {keyword:?}")),
        }
    }

    fn help(&self, rest: &'a str, quotes: bool) -> Result<Event<'a>, String> {
        let (name, help) = Line::new(rest, self.format).name_and_rest()?;
        let help = if help.contains('\\') { Cow::Owned(unescape(help, quotes)) } else { Cow::Borrowed(help) };
        Ok(Event::Help { name, help })
    }

    fn metric_type(&self, rest: &'a str) -> Result<Event<'a>, String> {
        let (name, word) = Line::new(rest, self.format).name_and_rest()?;
        let word = if self.format == Format::Text004 { word.trim_end_matches([' ', '\t']) } else { word };
        let kind = match (word, self.format) {
            ("counter", _) => MetricType::Counter,
            ("gauge", _) => MetricType::Gauge,
            ("histogram", _) => MetricType::Histogram,
            ("summary", _) => MetricType::Summary,
            ("untyped", Format::Text004) | ("unknown", Format::OpenMetrics10) => MetricType::Untyped,
            ("info", Format::OpenMetrics10) => MetricType::Info,
            ("stateset", Format::OpenMetrics10) => MetricType::StateSet,
            ("gaugehistogram", Format::OpenMetrics10) => MetricType::GaugeHistogram,
            _ => return Err(format!("{word:?} is no metric type")),
        };
        Ok(Event::Type { name, kind })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Event<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(line) = self.next_line() {
            match self.event(line) {
                Ok(None) => {}
                Ok(Some(event)) => return Some(Ok(event)),
                Err(reason) => return Some(Err(self.error(reason))),
            }
        }
        let truncated = self.format == Format::OpenMetrics10 && !self.ended && !self.finished;
        self.finished = true;
        truncated.then(|| Err(self.error("the body does not end with # EOF")))
    }
}

fn too_long(line: &str) -> String {
    format!("{} bytes, more than the {MAX_LINE_BYTES} allowed", line.len())
}

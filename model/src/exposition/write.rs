//! Families and samples to text.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{Format, MetricType, is_label_name_byte, is_metric_name_byte, is_name_start};

/// Above it not every integer is a float.
const EXACT_IN_A_FLOAT: u64 = 1 << 53;

/// Decimals of the finest part of [`Number::Scaled`].
pub const MOST_DECIMALS: u32 = 9;
/// Below it a number of decimal parts is told from its neighbours by the digits it has: the shortest text of the nearest
/// float are these digits.
const EXACT_DIGITS: u64 = 1_000_000_000_000_000;
/// Parts of one below which a float is written with an exponent.
const PARTS_WITHOUT_EXPONENT: u64 = 100_000;

/// A value of [`Writer::sample_text`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Written as fast as an integer can be.
    Count(u64),
    /// So many of a decimal part of one, as `Scaled(1_500, 3)` is 1.5: the text of the nearest float at a fraction of the
    /// cost. At most [`MOST_DECIMALS`].
    Scaled(u64, u32),
    /// Any float.
    Float(f64),
}

/// Appends one label to a piece of label text for [`Writer::sample_text`]: `name="value"`, escaped, after a comma unless
/// it is the first. `name` must be a valid label name.
pub fn push_label(piece: &mut String, name: &str, value: &str) {
    if !piece.is_empty() {
        piece.push(',');
    }
    piece.push_str(name);
    piece.push_str("=\"");
    push_escaped(piece, value, true);
    piece.push('"');
}

/// Whole numbers below are exact as floats and as integers.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Builds a body. Samples of a family follow its [`Writer::family`] call, as both formats ask.
///
/// Characters that a metric or label name may not have are written as `_`, Prometheus' fallback for clients that did
/// not ask for UTF-8 names.
#[derive(Debug, Clone)]
pub struct Writer {
    out: String,
    format: Format,
}

impl Writer {
    /// An empty body in `format`.
    pub fn new(format: Format) -> Writer {
        Writer { out: String::new(), format }
    }

    /// The lines that introduce a family: HELP, TYPE and, in OpenMetrics, UNIT.
    ///
    /// In 0.0.4 `name` is used as it is. In OpenMetrics a counter's family is named without `_total` and an info's
    /// without `_info`; samples keep the suffix. A `unit` that does not end the name is left out, since it must.
    pub fn family(&mut self, name: &str, help: &str, kind: MetricType, unit: Option<&str>) {
        let name = metric_name(name);
        let family = match (self.format, kind) {
            (Format::OpenMetrics10, MetricType::Counter) => name.strip_suffix("_total").unwrap_or(&name),
            (Format::OpenMetrics10, MetricType::Info) => name.strip_suffix("_info").unwrap_or(&name),
            _ => &name,
        };
        self.out.push_str("# HELP ");
        self.out.push_str(family);
        self.out.push(' ');
        push_escaped(&mut self.out, help, self.format == Format::OpenMetrics10);
        for piece in ["\n# TYPE ", family, " ", self.type_word(kind), "\n"] {
            self.out.push_str(piece);
        }
        if let (Format::OpenMetrics10, Some(unit)) = (self.format, unit)
            && family.strip_suffix(unit).is_some_and(|start| start.ends_with('_'))
        {
            let _ = writeln!(self.out, "# UNIT {family} {unit}");
        }
    }

    /// One sample; `timestamp_ms` in Unix milliseconds.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, timestamp_ms: Option<i64>) {
        self.out.push_str(&metric_name(name));
        if !labels.is_empty() {
            self.out.push('{');
            for (index, (name, value)) in labels.iter().enumerate() {
                if index > 0 {
                    self.out.push(',');
                }
                self.out.push_str(&label_name(name));
                self.out.push_str("=\"");
                push_escaped(&mut self.out, value, true);
                self.out.push('"');
            }
            self.out.push('}');
        }
        self.out.push(' ');
        push_float(&mut self.out, value);
        if let Some(ms) = timestamp_ms {
            self.out.push(' ');
            match self.format {
                Format::Text004 => {
                    let _ = write!(self.out, "{ms}");
                }
                Format::OpenMetrics10 => push_seconds(&mut self.out, ms),
            }
        }
        self.out.push('\n');
    }

    /// One sample of a body with very many: name and labels are text already, the labels without braces as
    /// [`push_label`] makes them, in pieces that are joined with commas; empty pieces are left out.
    ///
    /// `name` must be a valid metric name.
    pub fn sample_text(&mut self, name: &str, labels: &[&str], value: Number, timestamp_ms: Option<i64>) {
        self.out.push_str(name);
        let mut separator = "{";
        for piece in labels.iter().filter(|piece| !piece.is_empty()) {
            self.out.push_str(separator);
            self.out.push_str(piece);
            separator = ",";
        }
        self.out.push_str(if separator == "," { "} " } else { " " });
        match value {
            Number::Count(value) if value < EXACT_IN_A_FLOAT => push_integer(&mut self.out, value),
            Number::Count(value) => push_float(&mut self.out, value as f64),
            Number::Scaled(count, decimals) => push_scaled(&mut self.out, count, decimals),
            Number::Float(value) => push_float(&mut self.out, value),
        }
        match (timestamp_ms, self.format) {
            (None, _) => {}
            (Some(ms), Format::Text004) => {
                self.out.push(' ');
                self.out.push_str(itoa::Buffer::new().format(ms));
            }
            (Some(ms), Format::OpenMetrics10) => {
                self.out.push(' ');
                push_seconds(&mut self.out, ms);
            }
        }
        self.out.push('\n');
    }

    /// Makes room for so many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Bytes written up to now, or since the last [`Writer::take`]: where in the body the next family begins.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// Hands out what was written since the last call, of a body that is sent in pieces; the next piece gets as much room.
    pub fn take(&mut self) -> String {
        let room = self.out.len();
        std::mem::replace(&mut self.out, String::with_capacity(room))
    }

    /// Ends the body: OpenMetrics gets its `# EOF`.
    pub fn end(&mut self) {
        if self.format == Format::OpenMetrics10 {
            self.out.push_str("# EOF\n");
        }
    }

    /// The whole body, ended.
    pub fn finish(mut self) -> String {
        self.end();
        self.out
    }

    /// 0.0.4 lacks three types; they become the nearest one it has.
    fn type_word(&self, kind: MetricType) -> &'static str {
        match (kind, self.format) {
            (MetricType::Counter, _) => "counter",
            (MetricType::Gauge, _) => "gauge",
            (MetricType::Histogram, _) => "histogram",
            (MetricType::Summary, _) => "summary",
            (MetricType::Untyped, Format::Text004) => "untyped",
            (MetricType::Untyped, Format::OpenMetrics10) => "unknown",
            (MetricType::Info | MetricType::StateSet, Format::Text004) => "gauge",
            (MetricType::Info, Format::OpenMetrics10) => "info",
            (MetricType::StateSet, Format::OpenMetrics10) => "stateset",
            (MetricType::GaugeHistogram, Format::Text004) => "untyped",
            (MetricType::GaugeHistogram, Format::OpenMetrics10) => "gaugehistogram",
        }
    }
}

fn metric_name(name: &str) -> Cow<'_, str> {
    valid_name(name, |first| is_name_start(first) || first == b':', is_metric_name_byte)
}

fn label_name(name: &str) -> Cow<'_, str> {
    valid_name(name, is_name_start, is_label_name_byte)
}

fn valid_name(name: &str, starts: impl Fn(u8) -> bool, belongs: impl Fn(u8) -> bool) -> Cow<'_, str> {
    let started = name.bytes().next().is_some_and(starts);
    if started && name.bytes().all(&belongs) {
        return Cow::Borrowed(name);
    }
    let prefix = if started { "" } else { "_" };
    let rest = name.chars().map(|c| if u8::try_from(c).is_ok_and(&belongs) { c } else { '_' });
    Cow::Owned(prefix.chars().chain(rest).collect())
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    // All of one byte, and no byte of another character.
    let special = |text: &str| match quotes {
        true => memchr::memchr3(b'\\', b'\n', b'"', text.as_bytes()),
        false => memchr::memchr2(b'\\', b'\n', text.as_bytes()),
    };
    let mut rest = text;
    while let Some(at) = special(rest) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

fn push_integer(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// The text that [`push_float`] gives for the nearest float.
fn push_scaled(out: &mut String, count: u64, decimals: u32) {
    let scale = 10_u64.pow(decimals.min(MOST_DECIMALS));
    if count >= EXACT_DIGITS || (count > 0 && count < scale / PARTS_WITHOUT_EXPONENT) {
        return push_float(out, count as f64 / scale as f64);
    }
    push_integer(out, count / scale);
    let parts = count % scale;
    if parts > 0 {
        // The leading 1 keeps the zeros after the point.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(scale + parts);
        out.push('.');
        out.push_str(digits[1..].trim_end_matches('0'));
    }
}

/// The shortest text that reads back to the same float; an exponent only where the number would be long.
fn push_float(out: &mut String, value: f64) {
    let magnitude = value.abs();
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if value.fract() == 0.0 && (1.0..MAX_WHOLE).contains(&magnitude) {
        // What most values are, at a fraction of the cost.
        if value < 0.0 {
            out.push('-');
        }
        push_integer(out, magnitude as u64);
        Ok(())
    } else if magnitude == 0.0 || (1e-5..1e17).contains(&magnitude) {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
}

/// Milliseconds as seconds with at most three decimals.
fn push_seconds(out: &mut String, ms: i64) {
    if ms < 0 {
        out.push('-');
    }
    let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
    push_integer(out, seconds);
    if rest > 0 {
        out.push('.');
        out.push_str(&itoa::Buffer::new().format(1000 + rest)[1..]);
    }
}

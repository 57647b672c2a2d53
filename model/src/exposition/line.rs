//! The pieces of a line: names, label values, numbers, times.

use std::borrow::Cow;

use super::{Format, MAX_EXEMPLAR_CHARS, MAX_LABELS, SampleRef};
use super::{is_label_name_byte, is_metric_name_byte, is_name_start};

pub(super) type Pairs<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// How much of a bad line an error quotes, characters.
const QUOTED_CHARS: usize = 40;

/// What is left of one line.
pub(super) struct Line<'a> {
    rest: &'a str,
    format: Format,
}

impl<'a> Line<'a> {
    pub(super) fn new(rest: &'a str, format: Format) -> Line<'a> {
        Line { rest, format }
    }

    /// A sample: `name{label="value"} 1.5 timestamp # {exemplar} 1`. Its labels are put into `labels`, which is empty. With
    /// it, the text that names its series: from the name to the closing brace.
    pub(super) fn sample(mut self, mut labels: Pairs<'a>) -> Result<(SampleRef<'a>, &'a str), String> {
        self.blanks();
        let whole = self.rest;
        let mut name = self.metric_name();
        if name.is_some() && !self.rest.starts_with([' ', '\t', '{']) {
            return Err(format!("a blank or '{{' was expected near {}", self.near()));
        }
        self.blanks();
        if self.take(b'{')
            && let Some(quoted) = self.labels(&mut labels)?
            && let Some(outer) = name.replace(quoted)
        {
            return Err(format!("metric {quoted:?} is named {outer:?} outside of its braces"));
        }
        let name = name.ok_or_else(|| format!("a metric name was expected near {}", self.near()))?;
        let series = whole[..whole.len() - self.rest.len()].trim_end_matches([' ', '\t']);
        let (value, timestamp_ms) = self.measured()?;
        Ok((SampleRef { name, labels, value, timestamp_ms }, series))
    }

    /// What follows the series: value, perhaps a time, perhaps an exemplar.
    pub(super) fn measured(mut self) -> Result<(f64, Option<i64>), String> {
        let value = self.value()?;
        let timestamp_ms = self.timestamp()?;
        self.exemplar()?;
        Ok((value, timestamp_ms))
    }

    /// Blanks between tokens are free in 0.0.4; in OpenMetrics there is exactly one, taken by [`Line::space`].
    fn blanks(&mut self) {
        if self.format == Format::Text004 {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
        }
    }

    fn near(&self) -> String {
        let text: String = self.rest.chars().take(QUOTED_CHARS).collect();
        if text.is_empty() { "the end of the line".into() } else { format!("{text:?}") }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.as_bytes().first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn while_bytes(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !belongs(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn metric_name(&mut self) -> Option<&'a str> {
        let first = *self.rest.as_bytes().first()?;
        (is_name_start(first) || first == b':').then(|| self.while_bytes(is_metric_name_byte))
    }

    /// Everything up to and with the closing brace. Gives back the metric name if it is in there, in quotes.
    fn labels(&mut self, labels: &mut Pairs<'a>) -> Result<Option<&'a str>, String> {
        let mut metric = None;
        loop {
            self.blanks();
            if self.take(b'}') {
                return Ok(metric);
            }
            let quoted = self.rest.starts_with('"');
            let name = if quoted { self.quoted_name()? } else { self.label_name()? };
            self.blanks();
            if self.take(b'=') {
                self.blanks();
                let value = self.quoted()?;
                if labels.iter().any(|(have, _)| *have == name) {
                    return Err(format!("label {name:?} appears twice"));
                }
                if labels.len() == MAX_LABELS {
                    return Err(format!("more than {MAX_LABELS} labels"));
                }
                labels.push((name, value));
            } else if quoted && metric.is_none() && labels.is_empty() {
                metric = Some(name);
            } else {
                return Err(format!("'=' was expected near {}", self.near()));
            }
            self.blanks();
            if !self.take(b',') && !self.rest.starts_with('}') {
                return Err(format!("',' or '}}' was expected near {}", self.near()));
            }
        }
    }

    fn label_name(&mut self) -> Result<&'a str, String> {
        match self.rest.as_bytes().first() {
            Some(first) if is_name_start(*first) => Ok(self.while_bytes(is_label_name_byte)),
            _ => Err(format!("a label name was expected near {}", self.near())),
        }
    }

    /// A name in quotes; escapes in it would need a copy and are refused.
    pub(super) fn quoted_name(&mut self) -> Result<&'a str, String> {
        match self.quoted()? {
            Cow::Borrowed("") => Err("a name in quotes is empty".into()),
            Cow::Borrowed(name) => Ok(name),
            Cow::Owned(name) => Err(format!("escapes in the name {name:?} are not supported")),
        }
    }

    /// A text in double quotes, escapes undone.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        if !self.take(b'"') {
            return Err(format!("a text in double quotes was expected near {}", self.near()));
        }
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        let mut escaped = false;
        loop {
            let tail = bytes.get(end..).unwrap_or_default();
            let Some(next) = memchr::memchr2(b'"', b'\\', tail) else {
                return Err(format!("a text in quotes has no end near {}", self.near()));
            };
            end += next;
            if bytes[end] == b'"' {
                break;
            }
            escaped = true;
            end += 2;
        }
        let (text, rest) = (&self.rest[..end], &self.rest[end + 1..]);
        self.rest = rest;
        Ok(if escaped { Cow::Owned(unescape(text, true)) } else { Cow::Borrowed(text) })
    }

    /// The next word; in OpenMetrics after exactly one blank.
    fn word(&mut self) -> Result<&'a str, String> {
        self.blanks();
        if self.format == Format::OpenMetrics10 && !self.take(b' ') {
            return Err(format!("a blank was expected near {}", self.near()));
        }
        Ok(self.while_bytes(|byte| byte != b' ' && byte != b'\t'))
    }

    fn value(&mut self) -> Result<f64, String> {
        let word = self.word()?;
        float(word).ok_or_else(|| format!("value {word:?} is no number"))
    }

    fn timestamp(&mut self) -> Result<Option<i64>, String> {
        self.blanks();
        if self.rest.is_empty() || self.rest.starts_with(" #") {
            return Ok(None);
        }
        let word = self.word()?;
        let parsed = match self.format {
            Format::Text004 => word.parse().ok(),
            Format::OpenMetrics10 => seconds_to_ms(word),
        };
        parsed.map(Some).ok_or_else(|| format!("timestamp {word:?} is no time"))
    }

    /// ` # {labels} value [timestamp]`, or nothing. Its content is checked, not kept.
    fn exemplar(&mut self) -> Result<(), String> {
        self.blanks();
        if self.rest.is_empty() {
            return Ok(());
        }
        if self.format == Format::Text004 || !self.rest.starts_with(" # {") {
            return Err(format!("the line should end near {}", self.near()));
        }
        self.rest = &self.rest[" # {".len()..];
        let mut labels = Pairs::new();
        if self.labels(&mut labels)?.is_some() {
            return Err("an exemplar has a name of its own".into());
        }
        let chars: usize =
            labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        if chars > MAX_EXEMPLAR_CHARS {
            return Err(format!(
                "an exemplar's labels have {chars} characters, more than {MAX_EXEMPLAR_CHARS}"
            ));
        }
        self.value()?;
        self.timestamp()?;
        if self.rest.is_empty() { Ok(()) } else { Err(format!("the line should end near {}", self.near())) }
    }

    /// The name after `# HELP` and its kin, and what follows it.
    pub(super) fn name_and_rest(mut self) -> Result<(&'a str, &'a str), String> {
        self.blanks();
        let name =
            if self.rest.starts_with('"') { self.quoted_name()? } else { self.metric_name().unwrap_or("") };
        if name.is_empty() {
            return Err(format!("a metric name was expected near {}", self.near()));
        }
        if self.rest.is_empty() {
            return Ok((name, ""));
        }
        if !self.take(b' ') && !self.take(b'\t') {
            return Err(format!("a blank was expected near {}", self.near()));
        }
        self.blanks();
        Ok((name, self.rest))
    }
}

/// Undoes `\\` and `\n`, and `\"` where quotes are escaped. Another backslash stands for itself, as upstream has it.
pub(super) fn unescape(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// A float as Go reads it, without its hexadecimal and underscore forms. Finite text too large for a float is refused.
fn float(word: &str) -> Option<f64> {
    let value: f64 = word.parse().ok()?;
    if value.is_nan() {
        return Some(f64::NAN);
    }
    if value.is_infinite() && word.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(value)
}

/// Seconds to milliseconds; what is finer is dropped. `None` outside of what 64 bits hold.
fn seconds_to_ms(word: &str) -> Option<i64> {
    let (negative, plain) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !whole.is_empty() && digits(whole) && digits(fraction) {
        // Exact, where a float would lose the last milliseconds of far times.
        let ms = format!("{whole}{fraction:0<3.3}").parse::<i128>().ok()?;
        return i64::try_from(if negative { -ms } else { ms }).ok();
    }
    let ms = (float(word)? * 1000.0).round();
    // 2^63 is the first float that does not fit.
    (ms.abs() < 9_223_372_036_854_775_808.0).then_some(ms as i64)
}

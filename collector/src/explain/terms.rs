//! What a row of the tables says about where its value comes from, as files and keys. Pure.
//!
//! The words of a [`Source`](crate::table::Source) are read as they are written: a file's name, then the key of a line in it;
//! `less`, `+` and `-` between two of them; a comma where each gives a series of its own; anything after `of`, `where`,
//! `else` or `converted` is for people only. A test holds every row to that.

/// One number of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Name of the file; with a leading slash when it is not a file of the group.
    pub file: String,
    /// Beginning of the line; absent where the file is the number.
    pub key: Option<String>,
    /// Whether it is subtracted.
    pub negative: bool,
}

/// The terms of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// In the order of the words.
    pub terms: Vec<Term>,
    /// The value is all of them together; else each gives series of its own.
    pub is_sum: bool,
}

/// Reads the words; `sizes` are the machine's sizes of huge pages.
pub fn parse(words: &str, sizes: &[&str]) -> Terms {
    let mut reader = Reader::default();
    for word in expand(words, sizes).split_whitespace() {
        let (word, separated) = match word.trim_end_matches([',', ';']) {
            bare if bare.len() < word.len() => (bare, true),
            bare => (bare, false),
        };
        match word {
            "else" => break,
            "less" | "-" => reader.next(true),
            "+" => reader.next(false),
            "of" | "where" | "converted" => reader.end_of_file(),
            file if is_file(file) => {
                reader.end_of_file();
                reader.file = Some(file.to_owned());
            }
            word => reader.key.push(word.to_owned()),
        }
        if separated {
            reader.separated |= reader.file.is_some();
            reader.flush();
        }
    }
    reader.end_of_file();
    let is_sum = !reader.separated || reader.terms.len() < 2;
    Terms { terms: reader.terms, is_sum }
}

/// Writes out what stands for several files.
fn expand(words: &str, sizes: &[&str]) -> String {
    const EITHER: &str = "blkio.bfq or blkio.throttle .";
    if words.contains(EITHER) {
        return ["blkio.bfq.", "blkio.throttle."].map(|each| words.replace(EITHER, each)).join(", ");
    }
    if words.contains("SIZE") {
        return sizes.iter().map(|size| words.replace("SIZE", size)).collect::<Vec<_>>().join(", ");
    }
    words.to_owned()
}

fn is_file(word: &str) -> bool {
    word.starts_with("/proc/") || (word.contains('.') && !word.contains('/'))
}

#[derive(Default)]
struct Reader {
    terms: Vec<Term>,
    file: Option<String>,
    key: Vec<String>,
    negative: bool,
    /// The file has given a term.
    used: bool,
    separated: bool,
}

impl Reader {
    fn flush(&mut self) {
        let key = std::mem::take(&mut self.key);
        let Some(file) = self.file.clone().filter(|_| !(key.is_empty() && self.used)) else { return };
        let key = (!key.is_empty()).then(|| key.join(" "));
        self.terms.push(Term { file, key, negative: self.negative });
        self.used = true;
    }

    fn next(&mut self, negative: bool) {
        self.flush();
        self.negative = negative;
    }

    fn end_of_file(&mut self) {
        self.flush();
        (self.file, self.used) = (None, false);
    }
}

/// The lines of a text that a key stands for; all of them where there is no key, or none has it.
pub fn lines<'t>(text: &'t str, key: Option<&str>) -> Vec<&'t str> {
    let all = || text.lines().filter(|line| !line.trim().is_empty());
    let Some(key) = key else { return all().collect() };
    let starts = |part: &str| {
        part.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':', '\t', '=']))
    };
    let has = |line: &&str| starts(line.trim_start()) || line.split_whitespace().any(starts);
    let found: Vec<&str> = all().filter(has).collect();
    if found.is_empty() { all().collect() } else { found }
}

/// The number of a text, if there is one and no other.
pub fn number(text: &str, key: Option<&str>) -> Option<f64> {
    let lines = lines(text, key);
    let [line] = lines.as_slice() else { return None };
    if let Some((_, total)) = line.split_once("total=") {
        return total.trim().parse().ok();
    }
    let rest = match key {
        Some(key) => line.trim_start().strip_prefix(key)?.trim_start_matches([':', ' ', '\t']),
        None => line.trim(),
    };
    let mut words = rest.split_whitespace();
    let value: f64 = words.next()?.parse().ok()?;
    match words.next() {
        None => Some(value),
        Some("kB") => Some(value * 1_024.0),
        Some(_) => None,
    }
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Hundredth parts.
    Percent,
    /// As the file has it.
    Plain,
}

/// How a number of a file becomes one of the metric: words, and the factor where it is one.
pub fn conversion(terms: &[Term], unit: Unit) -> (&'static str, Option<f64>) {
    let Some(first) = terms.first() else { return ("as it is", None) };
    let key = first.key.as_deref().unwrap_or_default();
    match first.file.as_str() {
        "cpuacct.usage" if unit == Unit::Nanoseconds => ("as it is", Some(1.0)),
        "cpuacct.usage" => ("nanoseconds / 1,000,000,000", Some(1e-9)),
        "cpuacct.stat" => ("ticks of 10 ms / 100", Some(1e-2)),
        "cpu.stat" if key.ends_with("_usec") && unit == Unit::Nanoseconds => {
            ("microseconds * 1,000", Some(1e3))
        }
        "cpu.stat" if key.ends_with("_usec") => ("microseconds / 1,000,000", Some(1e-6)),
        "cpu.stat" if unit == Unit::Seconds => ("nanoseconds / 1,000,000,000", Some(1e-9)),
        file if file.ends_with(".pressure") => match unit {
            Unit::Microseconds => ("total= of the line", Some(1.0)),
            Unit::Percent => ("that average of the line", None),
            _ => ("total= of the line, microseconds / 1,000,000", Some(1e-6)),
        },
        "cpu.weight" => ("2 + (weight - 1) * 262142 / 9999, rounded down", None),
        "cpu.max" => ("quota and period, microseconds; no value where the quota is max", None),
        "cgroup.procs" => ("number of lines", None),
        "/proc/PID/stat" => ("clock ticks since boot / 100 + time of boot", None),
        "/proc/loadavg" => ("the number after the slash", None),
        file if file.ends_with(".max") || file.contains("limit_in_bytes") => match terms.len() {
            1 => ("as it is; no limit is 0", None),
            _ => ("as it is; absent where there is no limit", Some(1.0)),
        },
        "/proc/meminfo" => ("kB * 1,024", Some(1.0)),
        _ => ("as it is", Some(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &str) -> String {
        let terms = parse(words, &["2MB"]);
        let one = |term: &Term| {
            let sign = if term.negative { "-" } else { "+" };
            format!("{sign}{}[{}]", term.file, term.key.as_deref().unwrap_or(""))
        };
        let separator = if terms.is_sum { " " } else { " | " };
        terms.terms.iter().map(one).collect::<Vec<_>>().join(separator)
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for (words, expected) in [
            ("cpuacct.usage", "+cpuacct.usage[]"),
            ("cpu.stat usage_usec", "+cpu.stat[usage_usec]"),
            ("cpu.stat usage_usec of the root, else /proc/stat", "+cpu.stat[usage_usec]"),
            (
                "memory.current less memory.stat inactive_file",
                "+memory.current[] -memory.stat[inactive_file]",
            ),
            ("/proc/meminfo A + B - C(d)", "+/proc/meminfo[A] +/proc/meminfo[B] -/proc/meminfo[C(d)]"),
            ("memory.stat pgfault, pgmajfault", "+memory.stat[pgfault] | +memory.stat[pgmajfault]"),
            ("io.stat rbytes, wbytes", "+io.stat[rbytes] | +io.stat[wbytes]"),
            ("hybrid: v2 cpu.pressure full", "+cpu.pressure[full]"),
            ("cpu.weight, converted", "+cpu.weight[]"),
            ("hugetlb.SIZE.events max", "+hugetlb.2MB.events[max]"),
            (
                "blkio.bfq or blkio.throttle .io_serviced_recursive Read",
                "+blkio.bfq.io_serviced_recursive[Read] | +blkio.throttle.io_serviced_recursive[Read]",
            ),
            ("/proc/PID/limits Max open files, where asked for", "+/proc/PID/limits[Max open files]"),
            ("/proc/PID/net/dev of a process of the pod", "+/proc/PID/net/dev[]"),
            ("none", ""),
            ("clock", ""),
        ] {
            assert_eq!(told(words), expected, "{words}");
        }
    }

    #[test]
    fn numbers_of_texts() {
        for (text, key, expected) in [
            ("123\n", None, Some(123.0)),
            ("usage_usec 5\nuser_usec 3\n", Some("user_usec"), Some(3.0)),
            ("MemTotal:   7 kB\nMemFree: 1 kB\n", Some("MemTotal"), Some(7_168.0)),
            ("some avg10=0.00 total=8\nfull avg10=0.00 total=9\n", Some("full"), Some(9.0)),
            ("max 100000\n", None, None),
            ("8:0 rbytes=1 wbytes=2\n8:16 rbytes=3 wbytes=4\n", Some("rbytes"), None),
            ("", None, None),
        ] {
            assert_eq!(number(text, key), expected, "{text}");
        }
        assert_eq!(lines("8:0 Read 1\n8:0 Write 2\n", Some("Read")), ["8:0 Read 1"]);
    }
}

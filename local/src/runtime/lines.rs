//! The format of container logs: one record per line, as container runtimes write it. Pure.
//!
//! `2026-01-02T03:04:05.000000006Z stdout F text\n`; `P` instead of `F` marks a piece of a line longer than
//! [`MAX_PIECE_BYTES`], whose last piece is an `F`.

/// Longest piece of a line in one record.
pub const MAX_PIECE_BYTES: usize = 16 * 1024;

/// Cuts the output of one stream into records.
#[derive(Debug)]
pub struct Lines {
    stream: &'static str,
    partial: Vec<u8>,
}

impl Lines {
    /// For `stdout` or `stderr`.
    pub fn new(stream: &'static str) -> Self {
        Self { stream, partial: Vec::new() }
    }

    /// Takes output and appends the records it completes.
    pub fn feed(&mut self, output: &[u8], stamp: &str, records: &mut Vec<u8>) {
        for piece in output.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let mut rest = text;
            while self.partial.len() + rest.len() > MAX_PIECE_BYTES {
                let (now, later) = rest.split_at(MAX_PIECE_BYTES - self.partial.len());
                self.partial.extend_from_slice(now);
                self.write(b'P', stamp, records);
                rest = later;
            }
            self.partial.extend_from_slice(rest);
            if ends {
                self.write(b'F', stamp, records);
            }
        }
    }

    /// Writes what is left of a line without an end.
    pub fn finish(&mut self, stamp: &str, records: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.write(b'F', stamp, records);
        }
    }

    fn write(&mut self, tag: u8, stamp: &str, records: &mut Vec<u8>) {
        records.extend_from_slice(stamp.as_bytes());
        records.push(b' ');
        records.extend_from_slice(self.stream.as_bytes());
        records.extend_from_slice(&[b' ', tag, b' ']);
        records.append(&mut self.partial);
        records.push(b'\n');
    }
}

/// One record, read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// RFC 3339 with nanoseconds.
    pub stamp: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// False if the line goes on in the next record of this stream.
    pub ends_line: bool,
    /// The text.
    pub text: &'a [u8],
}

/// Reads one record, given without its newline; `None` if it is none.
pub fn parse(record: &[u8]) -> Option<Record<'_>> {
    let mut fields = record.splitn(4, |byte| *byte == b' ');
    let stamp = std::str::from_utf8(fields.next()?).ok()?;
    let stream = std::str::from_utf8(fields.next()?).ok()?;
    let tag = fields.next()?;
    Some(Record { stamp, stream, ends_line: tag != b"P", text: fields.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_records_and_back() {
        let mut lines = Lines::new("stdout");
        let mut records = Vec::new();
        lines.feed(b"one\ntw", "T1", &mut records);
        lines.feed(b"o\n\nthree", "T2", &mut records);
        lines.finish("T3", &mut records);
        let text = String::from_utf8(records).unwrap();
        assert_eq!(text, "T1 stdout F one\nT2 stdout F two\nT2 stdout F \nT3 stdout F three\n");
        let record = parse(b"T2 stdout F a b").unwrap();
        assert_eq!(
            (record.stamp, record.stream, record.ends_line, record.text),
            ("T2", "stdout", true, &b"a b"[..])
        );
        assert_eq!(parse(b"garbage"), None);
    }

    #[test]
    fn long_lines_are_cut() {
        let mut lines = Lines::new("stderr");
        let mut records = Vec::new();
        let mut output = vec![b'x'; MAX_PIECE_BYTES * 2 + 1];
        output.push(b'\n');
        lines.feed(&output, "T", &mut records);
        let tags: Vec<(bool, usize)> = records
            .split(|byte| *byte == b'\n')
            .filter_map(parse)
            .map(|record| (record.ends_line, record.text.len()))
            .collect();
        assert_eq!(tags, vec![(false, MAX_PIECE_BYTES), (false, MAX_PIECE_BYTES), (true, 1)]);
    }
}

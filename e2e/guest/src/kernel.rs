//! The kernel's own files, read as plainly as can be: the second witness beside what the loads say they used.

use std::path::Path;

use anyhow::Context;

/// A file without the white space around it.
pub fn text(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim().to_owned())
}

/// A file that holds one number.
pub fn number(path: &Path) -> anyhow::Result<u64> {
    text(path)?.parse().with_context(|| path.display().to_string())
}

/// The number after a key at the start of a line: `oom_kill 1`, `MemTotal:  1024 kB`.
pub fn keyed(path: &Path, key: &str) -> anyhow::Result<u64> {
    after_key(&text(path)?, key).with_context(|| format!("{} has no number for {key}", path.display()))
}

/// The number of a key in the line that starts with a word: `259:0 rbytes=1 wbytes=2`, `some avg10=0.00 total=3`.
/// A line that is not there is 0: the kernel leaves out devices without traffic.
pub fn in_line(path: &Path, first: &str, key: &str) -> anyhow::Result<u64> {
    Ok(after_equals(&text(path)?, first, key).unwrap_or(0))
}

fn after_key(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()?.trim_end_matches(':') == key).then(|| words.next()?.parse().ok())?
    })
}

fn after_equals(text: &str, first: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(first))?;
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_keys() {
        assert_eq!(after_key("low 0\noom 3\noom_kill 2", "oom_kill"), Some(2));
        assert_eq!(after_key("MemTotal:   1004 kB", "MemTotal"), Some(1004));
        assert_eq!(after_key("low 0", "high"), None);
        let io = "259:1 rbytes=1\n259:0 rbytes=10 wbytes=20 rios=1";
        assert_eq!(after_equals(io, "259:0", "wbytes"), Some(20));
        assert_eq!(after_equals(io, "8:0", "wbytes"), None);
        assert_eq!(after_equals("some avg10=1.50 avg60=0.1 total=77", "some", "total"), Some(77));
    }
}

//! Adds up the result lines of `cargo test`.

use std::fmt;

/// Counts over all test programs of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// These counts.
    pub fn of(passed: u64, failed: u64, ignored: u64) -> Self {
        Self { passed, failed, ignored }
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Counts `tests` that said that they are skipped, and so passed, as skipped.
    pub fn skip(&mut self, tests: u64) {
        self.passed = self.passed.saturating_sub(tests);
        self.ignored += tests;
    }

    /// Takes `line` into account if it is a result line: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub fn add_line(&mut self, line: &str) {
        let Some(counts) = line.trim().strip_prefix("test result: ") else { return };
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(count) = count.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn result_lines_are_added_up_and_others_passed_over() {
        let mut totals = Totals::default();
        for line in [
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.25s",
        ] {
            totals.add_line(line);
        }
        assert_eq!(totals.to_string(), "5 passed, 1 failed, 1 skipped");
        totals.add(totals);
        totals.skip(3);
        assert_eq!(totals.to_string(), "7 passed, 2 failed, 5 skipped");
    }
}

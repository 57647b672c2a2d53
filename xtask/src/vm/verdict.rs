//! What the test program in the machine says on its console.
//!
//! One line a check: `VM-TEST: ok NAME`, `VM-TEST: FAILED NAME: why`, `VM-TEST: skipped NAME: why`; and, when all are
//! done, `VM-TEST: end`. A console that stops before that line is a failure, whatever it said until then.

use crate::totals::Totals;

const PREFIX: &str = "VM-TEST: ";

/// The outcome so far.
#[derive(Debug, Default)]
pub struct Verdict {
    passed: u64,
    skipped: u64,
    failed: Vec<String>,
    ended: bool,
}

impl Verdict {
    /// Another machine starts.
    pub fn begin(&mut self) {
        self.ended = false;
    }

    /// Takes a line of the console into account.
    pub fn add_line(&mut self, line: &str) {
        let Some((_, said)) = line.split_once(PREFIX) else { return };
        match said.split_once(' ') {
            Some(("ok", _)) => self.passed += 1,
            Some(("skipped", _)) => self.skipped += 1,
            Some(("FAILED", rest)) => {
                self.failed.push(rest.split_once(": ").map_or(rest, |(name, _)| name).to_owned());
            }
            _ => self.ended |= said.trim() == "end",
        }
    }

    /// Whether the machine came to its end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether no check was done.
    pub fn is_empty(&self) -> bool {
        self.passed + self.skipped == 0 && self.failed.is_empty()
    }

    /// Whether a check failed.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Names of the checks that failed.
    pub fn failed(&self) -> &[String] {
        &self.failed
    }

    /// The counts.
    pub fn totals(&self) -> Totals {
        Totals::of(self.passed, self.failed.len() as u64, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Verdict {
        let mut verdict = Verdict::default();
        lines.iter().for_each(|line| verdict.add_line(line));
        verdict
    }

    #[test]
    fn lines_are_counted() {
        let verdict = verdict(&[
            "VM-TEST: running on 6.1",
            "[    1.2] noise VM-TEST: ok cpu",
            "VM-TEST: FAILED memory::file: usage: shown 1, consumed 2",
            "VM-TEST: skipped swap: no disk",
            "VM-TEST: end",
        ]);
        assert_eq!(verdict.totals().to_string(), "1 passed, 1 failed, 1 skipped");
        assert_eq!(verdict.failed(), ["memory::file"]);
        assert!(verdict.has_ended() && verdict.has_failed() && !verdict.is_empty());
    }

    #[test]
    fn each_console_must_come_to_its_end() {
        let mut verdict = verdict(&["VM-TEST: ok cpu", "VM-TEST: end"]);
        assert!(verdict.has_ended());
        verdict.begin();
        verdict.add_line("VM-TEST: ok demo");
        assert!(!verdict.has_ended());
    }
}

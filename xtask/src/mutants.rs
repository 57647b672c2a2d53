//! `cargo xtask mutants`: does anything notice a mistake in the decision?
//!
//! Each change of `e2e/differential/mutants.txt` is made in the copy of the pure modules of `hpa` (a few seconds each), and
//! run against recorded answers of upstream's controller, then, if those agree, against the unit tests.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::copy::Copy;
use crate::differential::peer;
use crate::e2e::{no_go, root};

/// The list.
const LIST: &str = "e2e/differential/mutants.txt";

/// Flags of `cargo xtask mutants`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Cases whose answers are recorded.
    #[arg(long, default_value_t = Options::default().cases, value_name = "N")]
    pub cases: u64,
    /// The first mutant to make.
    #[arg(long, default_value_t = Options::default().from, value_name = "NUMBER")]
    pub from: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { cases: 20_000, from: 1 }
    }
}

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mutant {
    file: String,
    old: String,
    new: String,
}

/// Makes every mistake of the list.
///
/// # Errors
/// One is not noticed, or the list does not fit the code.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(why) = no_go() {
        println!("mutants: SKIPPED, upstream's controller cannot be built: {why}");
        return Ok(());
    }
    let list = parse(&fs::read_to_string(root().join(LIST)).context(LIST)?)?;
    let copy = Range(Copy::built()?);
    let answers = copy.0.folder.join("answers.txt");
    let record =
        ["--peer", path(&peer()?)?, "--record", path(&answers)?, "--cases", &options.cases.to_string()]
            .map(str::to_owned);
    ensure!(copy.differential(&record)?, "Flyball and upstream differ without any mutant");
    let mut unnoticed = Vec::new();
    for (index, mutant) in list.iter().enumerate().skip(options.from.saturating_sub(1)) {
        let by = copy.notice(mutant, &answers)?;
        println!(
            "mutants: {:>2} {}: {} ({})",
            index + 1,
            by.unwrap_or("NOT NOTICED"),
            mutant.new.trim(),
            mutant.file
        );
        if by.is_none() {
            unnoticed.push(index + 1);
        }
    }
    let made = (list.len() + 1).saturating_sub(options.from.max(1));
    println!("mutants: {} of {made} noticed", made - unnoticed.len());
    ensure!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
    Ok(())
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is no text", path.display()))
}

/// Blocks of `@ FILE`, lines `- OLD` and lines `+ NEW`.
fn parse(text: &str) -> anyhow::Result<Vec<Mutant>> {
    let mut list: Vec<Mutant> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(file) = line.strip_prefix("@ ") {
            list.push(Mutant { file: file.to_owned(), old: String::new(), new: String::new() });
            continue;
        }
        let Some(mutant) = list.last_mut() else { bail!("{LIST}: {line:?} stands before any file") };
        let (part, text) = match line.split_at_checked(2) {
            Some(("- ", text)) => (&mut mutant.old, text),
            Some(("+ ", text)) => (&mut mutant.new, text),
            _ => bail!("{LIST}: {line:?} is neither a file nor a text"),
        };
        if !part.is_empty() {
            part.push('\n');
        }
        part.push_str(text);
    }
    for mutant in &list {
        ensure!(!mutant.old.is_empty() && mutant.old != mutant.new, "{LIST}: {mutant:?} changes nothing");
    }
    Ok(list)
}

/// Runs the mutants in the copy.
struct Range(Copy);

impl Range {
    /// True if both sides agree.
    fn differential(&self, arguments: &[String]) -> anyhow::Result<bool> {
        let mut command = Command::new(self.0.program());
        let status = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        Ok(status.context("cannot start the differential")?.success())
    }

    /// Who notices the mistake.
    fn notice(&self, mutant: &Mutant, answers: &Path) -> anyhow::Result<Option<&'static str>> {
        let file = format!("hpa/src/{}", mutant.file);
        let text = fs::read_to_string(self.0.folder.join(&file)).with_context(|| file.clone())?;
        let count = text.matches(&mutant.old).count();
        ensure!(count == 1, "{LIST}: {:?} occurs {count} times in {}", mutant.old, mutant.file);
        self.0.put(&file, &text.replacen(&mutant.old, &mutant.new, 1))?;
        let noticed = self.look(answers);
        self.0.put(&file, &text)?;
        noticed.with_context(|| format!("{LIST}: {:?}", mutant.new))
    }

    fn look(&self, answers: &Path) -> anyhow::Result<Option<&'static str>> {
        ensure!(self.0.build()?, "does not build");
        if !self.differential(&["--against".to_owned(), path(answers)?.to_owned()])? {
            return Ok(Some("differential"));
        }
        let passes = self.0.cargo(&["test", "--quiet", "--package", "flyball-hpa"])?;
        Ok(if passes { None } else { Some("tests") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read() {
        let text = "# why\n@ a.rs\n- one\n-   two\n+ three\n\n@ b.rs\n- x\n+ y\n";
        let mutant =
            |file: &str, old: &str, new: &str| Mutant { file: file.into(), old: old.into(), new: new.into() };
        assert_eq!(parse(text).unwrap(), [mutant("a.rs", "one\n  two", "three"), mutant("b.rs", "x", "y")]);
        assert!(parse("- x\n").is_err());
        assert!(parse("@ a.rs\n- x\n+ x\n").is_err(), "it must change something");
    }

    /// The list fits the code, so that a change of the code that outdates it is noticed at once.
    #[test]
    fn every_mutant_of_the_list_has_its_place() {
        let list = parse(&fs::read_to_string(root().join(LIST)).unwrap()).unwrap();
        assert!(list.len() >= 50, "{}", list.len());
        for Mutant { file, old, .. } in &list {
            let text = fs::read_to_string(root().join("hpa/src").join(file)).unwrap();
            assert_eq!(text.matches(old).count(), 1, "{file}: {old:?}");
        }
    }
}

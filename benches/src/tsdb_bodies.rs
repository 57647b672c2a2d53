//! Bodies that a kubelet (or cAdvisor) gave, as a load for the store of history: what was captured is played again and
//! again, counters going on where they were, so that an hour of bodies makes a day of samples.
#![allow(clippy::disallowed_methods, reason = "a benchmark: reads captured files")]

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flyball_model::exposition::{Event, Format, MetricType, Reader};
use flyball_model::labels::Labels;

/// Digits after the point that bodies have at most: nanoseconds.
const NANOS: f64 = 1e9;

/// One series of the captured bodies.
#[derive(Debug)]
pub struct Captured {
    /// Its labels, the metric's name among them.
    pub labels: Labels,
    /// Time (milliseconds since the first body) and value in each body that has it.
    pub points: Vec<(i64, f64)>,
    counter: bool,
}

/// All series of some bodies.
#[derive(Debug, Default)]
pub struct Bodies {
    /// The series.
    pub series: Vec<Captured>,
    /// How long one round of them takes, the pause before the next among it.
    pub round_ms: i64,
}

impl Bodies {
    /// Reads a folder of files whose names are the Unix milliseconds of their scrapes.
    ///
    /// # Errors
    /// There are fewer than two, or one is no such body.
    pub fn read(dir: &Path) -> Result<Bodies> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let at_ms: i64 = name.parse().with_context(|| format!("{}: not a time", path.display()))?;
            files.push((at_ms, path));
        }
        files.sort_unstable();
        ensure!(files.len() > 1, "{}: one body is no history", dir.display());
        let (first_ms, last_ms) = (files[0].0, files[files.len() - 1].0);
        let pause_ms = (last_ms - first_ms) / (files.len() as i64 - 1);
        let mut bodies = Bodies { series: Vec::new(), round_ms: last_ms - first_ms + pause_ms };
        let mut known = HashMap::new();
        for (at_ms, path) in files {
            let text = std::fs::read_to_string(&path)?;
            bodies.add(&text, at_ms, first_ms, &mut known).with_context(|| path.display().to_string())?;
        }
        Ok(bodies)
    }

    fn add(
        &mut self,
        text: &str,
        at_ms: i64,
        first_ms: i64,
        known: &mut HashMap<String, usize>,
    ) -> Result<()> {
        let mut reader = Reader::new(text, Format::Text004);
        let mut kind = MetricType::Untyped;
        while let Some(event) = reader.next() {
            match event? {
                Event::Type { kind: told, .. } => kind = told,
                Event::Sample(sample) => {
                    let next = self.series.len();
                    let place = *known.entry(reader.series().to_owned()).or_insert(next);
                    if place == next {
                        let pairs = sample.labels.iter().map(|(name, value)| (*name, &**value));
                        let labels = Labels::from_pairs(
                            pairs.filter(|(_, value)| !value.is_empty()).chain([("__name__", sample.name)]),
                        )?;
                        let counter = kind == MetricType::Counter;
                        self.series.push(Captured { labels, points: Vec::new(), counter });
                    }
                    let time_ms = sample.timestamp_ms.unwrap_or(at_ms) - first_ms;
                    let points = &mut self.series[place].points;
                    // A body may repeat what the one before had.
                    if points.last().is_none_or(|(last_ms, _)| *last_ms < time_ms) {
                        points.push((time_ms, sample.value));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Captured {
    /// The same points in a later round.
    pub fn in_round(&self, round: i64, round_ms: i64) -> impl Iterator<Item = (i64, f64)> + '_ {
        let grown = match (self.points.first(), self.points.last()) {
            (Some(first), Some(last)) if self.counter && last.1 >= first.1 => {
                (last.1 - first.1) * round as f64
            }
            _ => 0.0,
        };
        self.points.iter().map(move |&(time_ms, value)| {
            // Sums of decimals are decimals: no digits beyond those that a body can have.
            let value = if grown == 0.0 { value } else { ((value + grown) * NANOS).round() / NANOS };
            (time_ms + round * round_ms, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_in_the_next_round() {
        let dir = tempfile::tempdir().unwrap();
        for (at_ms, cpu, memory) in [(1000, "0.1", 5), (2000, "0.4", 7)] {
            let text = format!(
                "# TYPE cpu counter\ncpu{{pod=\"a\",empty=\"\"}} {cpu} {at_ms}\n# TYPE memory gauge\nmemory {memory}\n"
            );
            std::fs::write(dir.path().join(format!("{at_ms}.txt")), text).unwrap();
        }
        let bodies = Bodies::read(dir.path()).unwrap();
        assert_eq!((bodies.series.len(), bodies.round_ms), (2, 2000));
        let round = |series: usize, round| bodies.series[series].in_round(round, 2000).collect::<Vec<_>>();
        assert_eq!(round(0, 0), [(0, 0.1), (1000, 0.4)]);
        assert_eq!(round(0, 2), [(4000, 0.7), (5000, 1.0)]);
        assert_eq!(round(1, 1), [(2000, 5.0), (3000, 7.0)]);
        assert_eq!(bodies.series[0].labels.len(), 2);
    }
}

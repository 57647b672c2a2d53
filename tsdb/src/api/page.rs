//! The targets as a plain text to read: by job, those that fail first. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::facts::{Dropped, Health, Target};

/// Its path behind `/api/v1`.
pub(super) const PATH: &str = "/targets/page";

const HEADINGS: [&str; 6] = ["STATE", "LAST SCRAPE", "TOOK", "URL", "LABELS", "ERROR"];

/// All targets; with a job, only its own.
pub(super) fn targets(targets: &[Target], dropped: &Dropped, only: &str) -> String {
    let mut jobs: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for target in targets {
        jobs.entry(&target.scrape_pool).or_default().push(target);
    }
    for job in dropped.counts.keys() {
        jobs.entry(job).or_default();
    }
    jobs.retain(|job, _| only.is_empty() || *job == only);
    let mut out = String::new();
    for (job, mut targets) in jobs {
        targets.sort_by(|a, b| {
            rank(a.health).cmp(&rank(b.health)).then_with(|| a.scrape_url.cmp(&b.scrape_url))
        });
        let up = targets.iter().filter(|target| target.health == Health::Up).count();
        let dropped = dropped.counts.get(job).copied().unwrap_or(0);
        if !out.is_empty() {
            out.push('\n');
        }
        // Writing into a text cannot fail.
        let _ = writeln!(out, "{}: {up} of {} up, {dropped} dropped", one_line(job), targets.len());
        if !targets.is_empty() {
            table(&mut out, targets.into_iter().map(cells));
        }
    }
    if out.is_empty() {
        out.push_str("there are no targets\n");
    }
    out
}

/// What wants attention comes first.
fn rank(health: Health) -> u8 {
    match health {
        Health::Down => 0,
        Health::Unknown => 1,
        Health::Up => 2,
    }
}

fn cells(target: &Target) -> [String; 6] {
    let state = match target.health {
        Health::Up => "up",
        Health::Down => "DOWN",
        Health::Unknown => "unknown",
    };
    let scraped = target.health != Health::Unknown;
    let pairs: Vec<String> = target.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    [
        state.to_owned(),
        if scraped { target.last_scrape.clone() } else { "never".to_owned() },
        if scraped { format!("{:.3} s", target.last_scrape_duration) } else { String::new() },
        one_line(&target.scrape_url),
        format!("{{{}}}", pairs.join(", ")),
        one_line(&target.last_error),
    ]
}

/// What others sent cannot make lines of its own.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Columns as wide as their longest cell, the last one as it is.
fn table(out: &mut String, rows: impl Iterator<Item = [String; 6]>) {
    let rows: Vec<[String; 6]> = std::iter::once(HEADINGS.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(pool: &str, url: &str, health: Health, error: &str) -> Target {
        Target {
            discovered_labels: BTreeMap::new(),
            labels: BTreeMap::from([("job".into(), pool.into()), ("pod".into(), "a\"\n".into())]),
            scrape_pool: pool.into(),
            scrape_url: url.into(),
            global_url: url.into(),
            last_error: error.into(),
            last_scrape: "2026-01-02T03:04:05Z".into(),
            last_scrape_duration: 0.25,
            health,
            scrape_interval: "15s".into(),
            scrape_timeout: "10s".into(),
        }
    }

    #[test]
    fn what_fails_stands_first_and_nobody_adds_lines() {
        let all = [
            target("pods", "http://10.0.0.1/metrics", Health::Up, ""),
            target("pods", "http://10.0.0.2/metrics", Health::Down, "refused\nup  2026"),
            target("nodes", "https://10.0.0.9/m", Health::Unknown, ""),
        ];
        let dropped =
            Dropped { targets: Vec::new(), counts: BTreeMap::from([("pods".into(), 3), ("none".into(), 1)]) };
        let expected = r#"nodes: 0 of 1 up, 0 dropped
STATE    LAST SCRAPE  TOOK  URL                 LABELS                      ERROR
unknown  never              https://10.0.0.9/m  {job="nodes", pod="a\"\n"}

none: 0 of 0 up, 1 dropped

pods: 1 of 2 up, 3 dropped
STATE  LAST SCRAPE           TOOK     URL                      LABELS                     ERROR
DOWN   2026-01-02T03:04:05Z  0.250 s  http://10.0.0.2/metrics  {job="pods", pod="a\"\n"}  refused up  2026
up     2026-01-02T03:04:05Z  0.250 s  http://10.0.0.1/metrics  {job="pods", pod="a\"\n"}
"#;
        assert_eq!(targets(&all, &dropped, ""), expected);
        assert!(targets(&all, &dropped, "pods").starts_with("pods: 1 of 2 up"));
        assert_eq!(targets(&[], &Dropped::default(), ""), "there are no targets\n");
    }
}

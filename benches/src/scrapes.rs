//! What a scraper meets: how long `/metrics/resource` and `/metrics/cadvisor` take over TLS, and how old samples are when it
//! has them.
//!
//! The collector runs in a process of its own, sweeping 1,000 containers each second; the client has one kept connection and
//! reads what comes into one buffer.

#![allow(clippy::disallowed_methods, reason = "a benchmark: measures time")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::Figure;
use crate::served::{Options, Scraper, Served};
use crate::sweep::{Groups, container_id, pod_uid};

const ROW: &str = "collector scrape";
const CONTAINERS: usize = 1_000;
/// Scrapes before the measured ones.
const WARM_UP: usize = 5;
/// Scrapes whose time is taken, and the pause between two.
const ROUNDS: usize = 300;
const PAUSE: Duration = Duration::from_millis(40);
/// Time over which ages are taken, and the longest pause between two scrapes.
const AGES_FOR: Duration = Duration::from_secs(60);
const AGES_PAUSE_MS: u64 = 100;

/// The figures of the row.
#[must_use]
pub fn figures() -> Vec<Figure> {
    measure().unwrap_or_else(|error| vec![Figure::skipped(ROW, "scrapes over TLS", format!("{error:#}"))])
}

fn measure() -> anyhow::Result<Vec<Figure>> {
    let groups = Groups::make(CONTAINERS)?;
    let names = names(CONTAINERS)?;
    let served = Served::start(&Options {
        cgroup_root: format!("/{}", groups.root),
        interval: Duration::from_secs(1),
        names: Some(names.path().to_owned()),
        joins: None,
    })?;
    served.wait_for(CONTAINERS)?;
    Ok(vec![
        ages(&mut served.scraper()?)?,
        times(&served, "/metrics/resource", false, "≤ 2 ms")?,
        times(&served, "/metrics/cadvisor", false, "≤ 15 ms")?,
        times(&served, "/metrics/cadvisor", true, "")?,
    ])
}

/// A kubelet's folders of logs, by which the groups have names.
///
/// # Errors
/// They cannot be made.
pub fn names(containers: usize) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let (pods, links) = (folder.path().join("pods"), folder.path().join("containers"));
    std::fs::create_dir(&pods)?;
    std::fs::create_dir(&links)?;
    for index in 0..containers {
        let pod = format!("application-7d9c5b6f4-{:05}", index / 2);
        if index % 2 == 0 {
            std::fs::create_dir(pods.join(format!("production_{pod}_{}", pod_uid(index / 2))))?;
        }
        let link = format!("{pod}_production_container-{}-{}.log", index % 2, container_id(index));
        std::fs::write(links.join(link), "")?;
    }
    Ok(folder)
}

fn times(served: &Served, path: &str, gzip: bool, promise: &'static str) -> anyhow::Result<Figure> {
    let mut bytes = 0;
    let mut scraper = served.scraper()?;
    let took = milliseconds(|| {
        let answered = scraper.get(path, gzip, false)?;
        bytes = answered.bytes;
        Ok(answered.total)
    })?;
    let (mut scraper, path_of_floor) = (served.scraper_of_plain_bytes()?, format!("/{bytes}"));
    let floor = milliseconds(|| Ok(scraper.get(&path_of_floor, false, false)?.total))?;
    let packed = if gzip { " with gzip" } else { "" };
    let what = format!(
        "{path}{packed} over TLS until the client has it, {CONTAINERS} containers and their pods, p99"
    );
    let beside = format!(
        "p50 {:.2} ms; {:.2} MB; the same number of bytes that are there already, from the same server: p50 {:.2} ms, \
         p99 {:.2} ms",
        took.p50,
        bytes as f64 / 1e6,
        floor.p50,
        floor.p99,
    );
    Ok(Figure::new(ROW, what, took.p99, "ms").promise(promise).beside(beside))
}

/// Of [`ROUNDS`] scrapes.
struct Took {
    p50: f64,
    p99: f64,
}

fn milliseconds(mut scrape: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Took> {
    let mut took_ms = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let took = scrape()?;
        if round >= WARM_UP {
            took_ms.push(took.as_secs_f64() * 1e3);
        }
        std::thread::sleep(PAUSE);
    }
    took_ms.sort_by(f64::total_cmp);
    Ok(Took { p50: took_ms[ROUNDS / 2], p99: took_ms[ROUNDS * 99 / 100] })
}

/// Ages of all samples of `/metrics/resource`, scraped at random times.
fn ages(scraper: &mut Scraper) -> anyhow::Result<Figure> {
    let (mut ages_ms, mut scrapes, mut sweeps_ms) = (Vec::new(), 0, Vec::new());
    let started = Instant::now();
    while started.elapsed() < AGES_FOR {
        let body = scraper.get("/metrics/resource", false, true)?.body;
        let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        scrapes += 1;
        let text = std::str::from_utf8(&body)?;
        ages_ms.extend(stamps(text).map(|unix_ms| now_ms - unix_ms));
        // The first sample's time tells which sweep it is.
        sweeps_ms.extend(stamps(text).next());
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..AGES_PAUSE_MS)));
    }
    ages_ms.sort_unstable();
    sweeps_ms.dedup();
    let longest_ms = sweeps_ms.windows(2).map(|pair| pair[1] - pair[0]).max().context("one sweep")?;
    let at = |quantile: f64| ages_ms.get((ages_ms.len() as f64 * quantile) as usize).copied();
    let p999 = at(0.999).context("no samples")?;
    let beside = format!(
        "p50 {:.3} s, p99 {:.3} s, most {:.3} s; {} samples in {scrapes} scrapes; longest time between two \
         sweeps {:.3} s; a kubelet's: up to 29 s",
        at(0.5).unwrap_or_default() as f64 / 1e3,
        at(0.99).unwrap_or_default() as f64 / 1e3,
        ages_ms.last().copied().unwrap_or_default() as f64 / 1e3,
        ages_ms.len(),
        longest_ms as f64 / 1e3,
    );
    let what = format!("sample age at the reader, p99.9, {CONTAINERS} containers and their pods, over TLS");
    Ok(Figure::new(ROW, what, p999 as f64 / 1e3, "s").promise("≤ 1.05 s").beside(beside))
}

/// The time stamps of a body.
fn stamps(body: &str) -> impl Iterator<Item = i64> {
    body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.rsplit(' ');
        let stamp = words.next()?.parse().ok()?;
        // Values stand after the labels, stamps after a value.
        words.next()?.parse::<f64>().ok().map(|_| stamp)
    })
}

#[cfg(test)]
mod tests {
    use super::stamps;

    #[test]
    fn stamps_are_told_from_values() {
        let body = "# HELP a 1 2\na{b=\"c d\"} 5 1700000000123\nb 1 7\nscrape_error 0\nc{x=\"1 2\"} 3\n";
        assert_eq!(stamps(body).collect::<Vec<_>>(), [1_700_000_000_123, 7]);
    }
}

//! From what discovery finds to what is scraped. Pure.

use std::time::Duration;

use flyball_model::labels::Labels;

use super::config::units::{parse_duration, print_duration};
use super::job::Job;
use super::labelset::LabelSet;
use super::relabel;
use super::url::{Url, encode_path, encode_query, split_address};

/// `host:port` to ask.
pub const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const RESERVED_PREFIX: &str = "__";

/// A target. Two of a job are the same if their labels and their URL are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Labels that its series get.
    pub labels: Labels,
    /// Where it is.
    pub url: Url,
    /// Between two scrapes.
    pub interval: Duration,
    /// Longest time of one.
    pub timeout: Duration,
}

/// What became of what was discovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A target.
    Target(Box<Target>),
    /// Relabelling dropped it.
    Dropped,
    /// It cannot be scraped, and why.
    Bad(String),
}

/// Labels before relabelling: what was discovered, and what the job says where that says nothing.
pub fn discovered(job: &Job, mut found: LabelSet) -> LabelSet {
    found.set_default("job", &job.name);
    found.set_default(INTERVAL, &print_duration(job.interval));
    found.set_default(TIMEOUT, &print_duration(job.timeout));
    found.set_default(METRICS_PATH, &job.metrics_path);
    found.set_default(SCHEME, &job.scheme);
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            found.set_default(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    found
}

/// Relabels and checks.
pub fn make(job: &Job, mut labels: LabelSet) -> Made {
    if !relabel::apply(&job.relabel, &mut labels) {
        return Made::Dropped;
    }
    match target(job, &mut labels) {
        // Without a label of its own there is nothing to tell its series by.
        Ok(target) if target.labels.is_empty() => Made::Dropped,
        Ok(target) => Made::Target(Box::new(target)),
        Err(reason) => Made::Bad(reason),
    }
}

fn target(job: &Job, labels: &mut LabelSet) -> Result<Target, String> {
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("it has no address".to_owned());
    }
    let interval = length(labels, INTERVAL)?;
    let timeout = length(labels, TIMEOUT)?;
    if timeout > interval {
        let (timeout, interval) = (print_duration(timeout), print_duration(interval));
        return Err(format!("its scrape timeout {timeout} is longer than its interval {interval}"));
    }
    labels.set_default("instance", &address);
    let url = url(job, labels, &address)?;
    let public = labels.iter().filter(|(name, _)| !name.starts_with(RESERVED_PREFIX));
    let labels = Labels::from_pairs(public).map_err(|error| error.to_string())?;
    Ok(Target { labels, url, interval, timeout })
}

fn length(labels: &LabelSet, name: &str) -> Result<Duration, String> {
    let length = parse_duration(labels.get(name)).map_err(|reason| format!("{name}: {reason}"))?;
    if length.is_zero() { Err(format!("{name} is 0")) } else { Ok(length) }
}

fn url(job: &Job, labels: &LabelSet, address: &str) -> Result<Url, String> {
    let https = match labels.get(SCHEME) {
        "http" => false,
        "https" => true,
        other => return Err(format!("{SCHEME} is {other:?}, not http or https")),
    };
    let (host, port) = split_address(address).ok_or_else(|| format!("{address:?} is no host with a port"))?;
    let port = port.unwrap_or(if https { 443 } else { 80 });
    let mut path = encode_path(labels.get(METRICS_PATH));
    let query = query(job, labels);
    if !query.is_empty() {
        path.push('?');
        path.push_str(&query);
    }
    Ok(Url { https, host: host.to_owned(), port, authority: address.to_owned(), path })
}

/// All parameters, sorted; the first value of each is the label's, if there is one.
fn query(job: &Job, labels: &LabelSet) -> String {
    let mut all = job.params.clone();
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix(PARAM_PREFIX) {
            let values = all.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => *first = value.to_owned(),
                None => values.push(value.to_owned()),
            }
        }
    }
    let pairs = all.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let encoded: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", encode_query(name), encode_query(value))).collect();
    encoded.join("&")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::config::Config;
    use super::*;

    fn job(lines: &str) -> Job {
        let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!("scrape_configs:\n- job_name: j\n{indented}");
        Config::parse(&text, Path::new("t.yml")).unwrap().jobs.remove(0)
    }

    fn made(lines: &str, found: &[(&str, &str)]) -> Made {
        let job = job(lines);
        make(&job, discovered(&job, found.iter().copied().collect()))
    }

    /// Labels and URL of a target, or why there is none.
    fn shown(made: &Made) -> String {
        match made {
            Made::Target(target) => {
                let labels: Vec<String> =
                    target.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} {}", labels.join(" "), target.url)
            }
            Made::Dropped => "dropped".to_owned(),
            Made::Bad(reason) => reason.clone(),
        }
    }

    #[test]
    fn targets_and_their_urls() {
        let plain = [(ADDRESS, "h:8080")];
        for (lines, found, expected) in [
            ("", &plain[..], "instance=h:8080 job=j http://h:8080/metrics"),
            (
                "",
                &[(ADDRESS, "h"), ("a", "1"), ("__x", "2"), ("__meta_y", "3")],
                "a=1 instance=h job=j http://h/metrics",
            ),
            (
                "",
                &[(ADDRESS, "h"), ("job", "mine"), ("instance", "i")],
                "instance=i job=mine http://h/metrics",
            ),
            (
                "scheme: https\nmetrics_path: probe é?",
                &plain,
                "instance=h:8080 job=j https://h:8080/probe%20%C3%A9%3F",
            ),
            (
                "params: {b: [x y, '&'], a: [1]}",
                &plain,
                "instance=h:8080 job=j http://h:8080/metrics?a=1&b=x+y&b=%26",
            ),
            (
                "params: {a: [1, 2]}",
                &[
                    (ADDRESS, "h"),
                    ("__param_a", "z"),
                    ("__param_c", "3"),
                    ("__metrics_path__", "/p"),
                    ("__scheme__", "https"),
                ],
                "instance=h job=j https://h/p?a=z&a=2&c=3",
            ),
            ("", &[(ADDRESS, "[fd00::1]:9")], "instance=[fd00::1]:9 job=j http://[fd00::1]:9/metrics"),
            (
                "relabel_configs: [{action: drop, source_labels: [a], regex: x}]",
                &[(ADDRESS, "h"), ("a", "x")],
                "dropped",
            ),
            (
                "relabel_configs: [{action: labeldrop, regex: '[a-z].*'}, {target_label: instance, replacement: ''}]",
                &plain,
                "instance=h:8080 http://h:8080/metrics",
            ),
            ("", &[("a", "b")], "it has no address"),
            ("", &[(ADDRESS, "h/x")], "\"h/x\" is no host with a port"),
            ("", &[(ADDRESS, "h:x")], "\"h:x\" is no host with a port"),
            ("", &[(ADDRESS, "h"), ("__scheme__", "ftp")], "__scheme__ is \"ftp\", not http or https"),
            ("", &[(ADDRESS, "h"), ("__scrape_interval__", "0s")], "__scrape_interval__ is 0"),
            (
                "",
                &[(ADDRESS, "h"), ("__scrape_timeout__", "x")],
                "__scrape_timeout__: \"x\" is no duration: write it like 1m, 30s or 1h30m",
            ),
            (
                "",
                &[(ADDRESS, "h"), ("__scrape_interval__", "5s")],
                "its scrape timeout 10s is longer than its interval 5s",
            ),
        ] {
            assert_eq!(shown(&made(lines, found)), expected, "{lines} {found:?}");
        }
        let Made::Target(target) =
            made("", &[(ADDRESS, "h"), ("__scrape_interval__", "20s"), ("__scrape_timeout__", "7s")])
        else {
            panic!("no target")
        };
        assert_eq!((target.interval.as_secs(), target.timeout.as_secs(), target.url.port), (20, 7, 80));
    }
}

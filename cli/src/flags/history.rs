//! Flags of `flyball server` beyond those of `metrics-server`, and of `query` and `tsdb`. Where Prometheus has a flag, it has
//! its name and meaning here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use flyball_tsdb::promql::duration;

use super::{ClusterArgs, MetricsServerArgs, RuleArgs};

/// How long history is kept unless told otherwise, as Prometheus.
const RETENTION: &str = "15d";

/// Flags of `server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// All of the metrics server.
    #[command(flatten)]
    pub metrics_server: MetricsServerArgs,
    /// The store and the queries.
    #[command(flatten)]
    pub history: HistoryArgs,
    /// Custom and external metrics out of the store, and out of others.
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// The store and the queries.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "History")]
pub struct HistoryArgs {
    /// Folder of the store. Made if missing.
    #[arg(long = "storage.tsdb.path", default_value = "data/", value_name = "DIR")]
    pub path: PathBuf,
    /// How long samples are kept. Unset: 15d, or without an end where --storage.tsdb.retention.size is set.
    #[arg(long = "storage.tsdb.retention.time", value_parser = span, value_name = "DURATION")]
    pub retention_time: Option<Duration>,
    /// Bytes that the store may take on the disk (B, KB, MB, GB, TB, PB, EB by powers of two): the oldest blocks go. 0: any.
    #[arg(long = "storage.tsdb.retention.size", default_value = "0", value_parser = size, value_name = "SIZE")]
    pub retention_size: u64,
    /// How often what was appended goes to the disk: what `kill -9` may cost.
    #[arg(long = "storage.tsdb.flush-interval", default_value = "1s", value_parser = positive, value_name = "DURATION")]
    pub flush_interval: Duration,
    /// What to do when the disk is full: take no more samples, or remove the oldest blocks.
    #[arg(long = "storage.tsdb.on-full", value_enum, default_value_t = OnFull::Stop, value_name = "WHAT")]
    pub on_full: OnFull,
    /// Most series in memory; samples of further ones are refused.
    #[arg(long = "storage.tsdb.max-series", default_value_t = 2_000_000, value_name = "N")]
    pub max_series: usize,
    /// Most series in memory of one target.
    #[arg(long = "storage.tsdb.max-series-per-target", default_value_t = 100_000, value_name = "N")]
    pub max_series_per_target: usize,
    /// Time between two stored samples of a node's series, which are taken out of the scrapes that metrics.k8s.io lives of, and
    /// between two scrapes of pods with annotations.
    #[arg(long, default_value = "15s", value_parser = positive, value_name = "DURATION")]
    pub scrape_interval: Duration,
    /// File in Prometheus' syntax whose `scrape_configs` are scraped, beside the nodes. Unset: pods with the annotation
    /// prometheus.io/scrape=true (and /scheme, /path, /port). It is read again when it changes, and on SIGHUP; one that is
    /// wrong changes nothing.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Longest time of a query; never more than --request-timeout.
    #[arg(long = "query.timeout", default_value = "2m", value_parser = positive, value_name = "DURATION")]
    pub query_timeout: Duration,
    /// Most samples that one query may hold in memory.
    #[arg(long = "query.max-samples", default_value_t = 50_000_000, value_name = "N")]
    pub query_max_samples: usize,
    /// Queries evaluated at once; further ones wait.
    #[arg(long = "query.max-concurrency", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000),
          value_name = "N")]
    pub query_max_concurrency: u16,
    /// How long a sample counts as a series' latest.
    #[arg(long = "query.lookback-delta", default_value = "5m", value_parser = positive, value_name = "DURATION")]
    pub query_lookback_delta: Duration,
}

impl Default for HistoryArgs {
    /// What no flag says.
    fn default() -> HistoryArgs {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            history: HistoryArgs,
        }
        <Alone as clap::Parser>::parse_from::<[&str; 1], &str>(["flyball"]).history
    }
}

/// What to do when the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnFull {
    /// Take no more samples until there is room; queries go on.
    Stop,
    /// Remove the oldest blocks until there is room.
    DropOldest,
}

impl HistoryArgs {
    /// How long samples are kept; `None`: until the size is reached.
    #[must_use]
    pub fn keeps(&self) -> Option<Duration> {
        match (self.retention_time, self.retention_size) {
            (Some(time), _) if !time.is_zero() => Some(time),
            (_, 0) => span(RETENTION).ok(),
            _ => None,
        }
    }

    /// What is kept, in the words of Prometheus.
    #[must_use]
    pub fn retention(&self) -> String {
        let time = self.keeps().map(write_span);
        let size = (self.retention_size > 0).then(|| write_size(self.retention_size));
        [time, size].into_iter().flatten().collect::<Vec<_>>().join(" or ")
    }

    /// The flags with their values, for `/api/v1/status/flags`.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<String, String> {
        let on_full = self.on_full.to_possible_value().map(|value| value.get_name().to_owned());
        [
            ("storage.tsdb.path", self.path.display().to_string()),
            ("storage.tsdb.retention.time", self.keeps().map(write_span).unwrap_or_else(|| "0s".to_owned())),
            ("storage.tsdb.retention.size", write_size(self.retention_size)),
            ("storage.tsdb.flush-interval", write_span(self.flush_interval)),
            ("storage.tsdb.on-full", on_full.unwrap_or_default()),
            ("storage.tsdb.max-series", self.max_series.to_string()),
            ("storage.tsdb.max-series-per-target", self.max_series_per_target.to_string()),
            ("scrape-interval", write_span(self.scrape_interval)),
            (
                "config.file",
                self.config_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default(),
            ),
            ("query.timeout", write_span(self.query_timeout)),
            ("query.max-samples", self.query_max_samples.to_string()),
            ("query.max-concurrency", self.query_max_concurrency.to_string()),
            ("query.lookback-delta", write_span(self.query_lookback_delta)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Flags of `query`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["query", "complete"]))]
pub struct QueryArgs {
    /// PromQL.
    pub query: Option<String>,
    /// Print the names of metrics that begin so, for completion in shells.
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["start", "end", "since", "step", "time"])]
    pub complete: Option<String>,
    /// How to reach the API server. With a namespace, only its series exist, and permission for it is enough.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Evaluate at this time: RFC 3339, Unix seconds, or a duration ago such as -1h. Unset: now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["start", "end", "since", "step"],
          help_heading = "Time")]
    pub time: Option<String>,
    /// Evaluate over the time from here.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Time")]
    pub start: Option<String>,
    /// Evaluate over the time to here. Unset: now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Time")]
    pub end: Option<String>,
    /// Evaluate over the last time of this length, instead of --start.
    #[arg(long, value_parser = positive, value_name = "DURATION", conflicts_with = "start", help_heading = "Time")]
    pub since: Option<Duration>,
    /// Time between two points. Unset: what makes about a hundred points, not less than a second.
    #[arg(long, value_parser = positive, value_name = "DURATION", help_heading = "Time")]
    pub step: Option<Duration>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = QueryOutput::Table, value_name = "FORMAT")]
    pub output: QueryOutput,
    /// Print no heading.
    #[arg(long)]
    pub no_headers: bool,
}

/// Form of the output of `query`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueryOutput {
    /// Aligned columns: labels, and the value or the values over time.
    Table,
    /// The API's JSON, indented.
    Json,
    /// The same as YAML.
    Yaml,
    /// One line a sample, a column for each label.
    Csv,
    /// A picture of the values over time.
    Chart,
}

/// Flags of `tsdb`.
#[derive(Debug, Args)]
pub struct TsdbArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TsdbCommand,
}

/// What `tsdb` does.
#[derive(Debug, Subcommand)]
pub enum TsdbCommand {
    /// Read everything that a store keeps, say exactly what is lost, and mend what can be mended
    #[command(after_help = "Example:\n  flyball tsdb check ~/flyball/history\n\n\
        The store must not be in use. A damaged block is written anew from what is good of it; one that cannot be opened, and a \
        log that cannot, are set aside in the folder `aside`. Exits 1 if anything is lost.")]
    Check(CheckArgs),
    /// Copy a store into a folder that is a store of its own
    #[command(
        after_help = "Examples:\n  flyball tsdb snapshot                       the running server makes one below its folder\n  \
        flyball tsdb snapshot --from ~/flyball/history ~/backup\n\n\
        A running server is asked through the API server; that takes permission to create admin/snapshot of \
        API group history.flyball.io, which no role has but cluster-admin."
    )]
    Snapshot(SnapshotArgs),
}

/// Flags of `tsdb check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Folder of the store.
    pub dir: PathBuf,
}

/// Flags of `tsdb snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Where the copy goes: an empty folder, or one that is not there.
    #[arg(requires = "from")]
    pub to: Option<PathBuf>,
    /// Copy this store, which must not be in use. Unset: a running server makes the copy in a folder of its own.
    #[arg(long, requires = "to", value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// How to reach the API server.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// A duration as Prometheus writes it: `1d12h`, `90s`.
fn span(text: &str) -> Result<Duration, String> {
    let millis = if text == "0" { Ok(0) } else { duration::parse_millis(text) };
    let millis = millis.map_err(|_| format!("{text:?} is not a duration such as 15d, 1h30m or 30s"))?;
    Ok(Duration::from_millis(millis.unsigned_abs()))
}

pub(crate) fn positive(text: &str) -> Result<Duration, String> {
    span(text).and_then(|span| {
        if span.is_zero() { Err(format!("{text:?} must be longer than nothing")) } else { Ok(span) }
    })
}

/// The same duration as text.
pub fn write_span(span: Duration) -> String {
    duration::write_millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

/// Units of sizes, as Prometheus': powers of two.
const UNITS: [(&str, u32); 7] =
    [("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10), ("B", 0)];

fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 512MB or 10GB");
    if text == "0" {
        return Ok(0);
    }
    let (number, shift) = UNITS
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn write_size(bytes: u64) -> String {
    let fits = UNITS.into_iter().find(|(_, shift)| bytes >= 1 << shift && bytes.trailing_zeros() >= *shift);
    match fits {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Cli, Command};

    fn history(arguments: &[&str]) -> Result<HistoryArgs, clap::Error> {
        match Cli::try_parse_from(["flyball", "server"].iter().chain(arguments))?.command {
            Command::Server(args) => Ok(args.history),
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn prometheus_flags_mean_what_they_mean_there() {
        let args = history(&[
            "--storage.tsdb.path=/data",
            "--storage.tsdb.retention.time=30d",
            "--storage.tsdb.retention.size=10GB",
            "--storage.tsdb.flush-interval=500ms",
            "--query.timeout=30s",
            "--query.max-samples=1000",
            "--query.max-concurrency=4",
            "--query.lookback-delta=1m",
            "--kubelet-insecure-tls",
            "--metric-resolution=15s",
        ])
        .expect("Prometheus' flags, and the metrics server's");
        assert_eq!(args.keeps(), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!((args.retention_size, args.retention().as_str()), (10 << 30, "30d or 10GB"));
        assert_eq!(args.shown()["query.timeout"], "30s");
        assert_eq!(args.shown()["storage.tsdb.flush-interval"], "500ms");
        assert_eq!(history(&[]).unwrap().flush_interval, flyball_tsdb::store::FLUSH_INTERVAL);
        assert_eq!(args.query_lookback_delta, Duration::from_secs(60));
    }

    #[test]
    fn retention_by_size_alone_has_no_time() {
        assert_eq!(history(&[]).unwrap().retention(), "15d");
        let by_size = history(&["--storage.tsdb.retention.size=512MB"]).unwrap();
        assert_eq!((by_size.keeps(), by_size.retention().as_str()), (None, "512MB"));
    }

    #[test]
    fn bad_values_are_named() {
        for (flag, part) in [
            ("--storage.tsdb.retention.time=x", "15d"),
            ("--storage.tsdb.retention.size=10", "512MB"),
            ("--storage.tsdb.retention.size=99999999999EB", "512MB"),
            ("--scrape-interval=0s", "longer than nothing"),
            ("--storage.tsdb.flush-interval=0s", "longer than nothing"),
            ("--query.max-concurrency=0", "1..=1000"),
        ] {
            let error = history(&[flag]).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(flag.split_once('=').unwrap().0), "{error}");
        }
    }

    #[test]
    fn a_query_or_a_prefix_but_not_both() {
        let parse = |arguments: &[&str]| Cli::try_parse_from(["flyball", "query"].iter().chain(arguments));
        assert!(parse(&["up", "--since=1h", "-o", "chart"]).is_ok());
        assert!(parse(&["up", "--time", "-1h"]).is_ok());
        assert!(parse(&["--complete", "cont"]).is_ok());
        for bad in [
            &[][..],
            &["up", "--complete", "x"],
            &["up", "--time=1", "--since=1h"],
            &["up", "--start=1", "--since=1h"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}

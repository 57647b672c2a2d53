//! Figures of the store of history. By hand, each with a fresh process:
//!
//! ```sh
//! cargo run --release -p flyball-benches --bin tsdb -- bytes|block|bulk|scrape|resident|select|query|churn|ready [--series N] [--steps N]
//! cargo run --release -p flyball-benches --bin tsdb -- block --bodies DIR
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "a program: it reads the clock, starts itself and writes a folder"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use flyball_benches::tsdb_bodies::Bodies;
use flyball_benches::tsdb_load::{MIX, STEP_MS, Walk, labels, request_labels};
use flyball_model::exposition::Format;
use flyball_model::labels::Labels;
use flyball_scrape::apps::ingest::{Ingest, Of};
use flyball_scrape::apps::{AppSink, Appended, Config, Refused};
use flyball_tsdb::chunk;
use flyball_tsdb::promql;
use flyball_tsdb::promql::engine::{Options, Unwatched, Value};
use flyball_tsdb::series::{MatchOp, Matcher, Point, ReadLimits, SeriesSource};
use flyball_tsdb::store::{FLUSH_INTERVAL, Incoming, SeriesRef, Service, Settings, Store, StoreReport};
use rustix::time::{ClockId, clock_gettime};

const START_MS: i64 = 1_760_400_000_000 / 86_400_000 * 86_400_000;

/// Takes one figure of the store.
#[derive(Debug, Parser)]
struct Flags {
    /// Which one.
    #[arg(value_enum)]
    figure: Figure,
    /// How many series.
    #[arg(long)]
    series: Option<u32>,
    /// How many samples of each.
    #[arg(long)]
    steps: Option<i64>,
    /// Folder of captured bodies, each named by its Unix milliseconds: `block` makes a day of them instead of the mix.
    #[arg(long)]
    bodies: Option<PathBuf>,
    /// Be the child that is killed.
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Figure {
    /// Bytes per sample of chunks, by kind and length.
    Bytes,
    /// Bytes per sample of a day's block, with index, and on the disk.
    Block,
    /// Samples per second on two threads, to the disk.
    Bulk,
    /// CPU per sample from text to appended.
    Scrape,
    /// Resident memory per series.
    Resident,
    /// Selections as queries make them.
    Select,
    /// Queries, evaluated.
    Query,
    /// Three days in which series come and go: memory and disk, hour by hour.
    Churn,
    /// Time from start to ready after `kill -9`.
    Ready,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let series = |default| flags.series.unwrap_or(default);
    let steps = |default| flags.steps.unwrap_or(default);
    match flags.figure {
        Figure::Bytes => bytes(),
        Figure::Block => match &flags.bodies {
            Some(dir) => captured(dir),
            None => block(series(20_000), steps(5760)),
        },
        Figure::Bulk => bulk(series(20_000), steps(3000)),
        Figure::Scrape => scrape(series(50_000), steps(40)),
        Figure::Resident => resident(series(100_000), steps(540)),
        Figure::Select => selections(series(100_000), steps(120)),
        Figure::Query => queries(series(100_000), steps(150)),
        Figure::Churn => churn(series(20_000), steps(72 * 240)),
        Figure::Ready => match &flags.dir {
            Some(dir) => be_killed(dir, series(50_000), steps(20)),
            None => ready(series(50_000), steps(20)),
        },
    }
}

fn settings() -> Settings {
    Settings {
        series_per_source: usize::MAX,
        series_total: usize::MAX,
        retention_ms: None,
        ..Settings::default()
    }
}

fn time_ms(step: i64) -> i64 {
    START_MS + step * STEP_MS
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0)
}

fn walk_points(walk: &mut Walk, count: usize) -> Vec<Point> {
    let times = (0..).map(time_ms);
    times.take(count).map(|timestamp_ms| Point { timestamp_ms, value: walk.next_value() }).collect()
}

/// Ten hours of two hundred series of each kind, cut into chunks of several lengths.
fn bytes() -> Result<()> {
    const SAMPLES: usize = 2400;
    const SERIES: u32 = 200;
    println!("bytes per sample      XOR 120   120     480     960");
    let mut totals = [0.0; 4];
    for (kind, share) in MIX {
        let mut sums = [0usize; 4];
        for seed in 0..SERIES {
            let points = walk_points(&mut Walk::of(kind, seed), SAMPLES);
            sums[0] += points.chunks(120).map(|points| chunk::encode_xor(points).len()).sum::<usize>();
            for (sum, length) in sums[1..].iter_mut().zip([120, 480, 960]) {
                *sum += points.chunks(length).map(|points| chunk::encode(points).len()).sum::<usize>();
            }
        }
        let each = sums.map(|sum| sum as f64 / (SAMPLES * SERIES as usize) as f64);
        print_row(&format!("{kind:?}"), each);
        totals.iter_mut().zip(each).for_each(|(total, each)| *total += each * f64::from(share) / 10.0);
    }
    print_row("the mix", totals);
    speed()
}

fn print_row(name: &str, columns: [f64; 4]) {
    println!("{name:<20} {:>8.3} {:>7.3} {:>7.3} {:>7.3}", columns[0], columns[1], columns[2], columns[3]);
}

fn speed() -> Result<()> {
    let walks: Vec<Vec<Point>> = (0..1000).map(|number| walk_points(&mut Walk::new(number), 480)).collect();
    let samples = (walks.len() * 480) as f64 / 1e6;
    let begin = Instant::now();
    let chunks: Vec<Vec<u8>> = walks.iter().map(|points| chunk::encode(points)).collect();
    let encoded = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let mut points = Vec::new();
    for bytes in &chunks {
        points.clear();
        chunk::decode_into(bytes, &mut points)?;
    }
    let decoded = begin.elapsed().as_secs_f64();
    println!(
        "the mix, one core: encode {:.1} M samples/s, decode {:.1} M samples/s",
        samples / encoded,
        samples / decoded
    );
    Ok(())
}

/// A store that is filled step by step, as a server fills it, in simulated time.
struct Filler {
    store: Arc<Store>,
    refs: Vec<SeriesRef>,
    walks: Vec<Walk>,
}

impl Filler {
    fn new(store: Store, count: u32) -> Result<Filler> {
        Filler::with(store, count, labels)
    }

    fn with(store: Store, count: u32, labels: impl Fn(u32) -> Labels) -> Result<Filler> {
        let store = Arc::new(store);
        let mut refs = Vec::with_capacity(count as usize);
        for number in 0..count {
            refs.push(store.series_ref(&labels(number), &format!("target-{}", number / 1500))?);
        }
        Ok(Filler { store, refs, walks: (0..count).map(Walk::new).collect() })
    }

    fn step(&mut self, step: i64) -> Result<()> {
        const BATCH: usize = 1500;
        let mut batch = Vec::with_capacity(BATCH);
        for (refs, walks) in self.refs.chunks(BATCH).zip(self.walks.chunks_mut(BATCH)) {
            batch.clear();
            batch.extend(refs.iter().zip(walks).map(|(&series, walk)| Incoming {
                series,
                timestamp_ms: time_ms(step),
                value: walk.next_value(),
            }));
            let report = self.store.append(time_ms(step), &batch)?;
            // A series leaves memory when all its samples are in blocks; with samples every step it never does.
            anyhow::ensure!(report.stored == batch.len(), "{report:?}");
        }
        Ok(())
    }
}

fn block(series: u32, steps: i64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut filler = Filler::new(Store::open(dir.path(), settings(), START_MS)?, series)?;
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    for step in 0..steps {
        filler.step(step)?;
        filler.store.flush()?;
        filler.store.maintain(time_ms(step))?;
    }
    // One sample of the next day ends the day before.
    filler.step(steps + 480)?;
    filler.store.seal_all()?;
    filler.store.maintain(time_ms(steps + 960))?;
    let report = filler.store.report()?;
    let samples = report.block_samples() as f64;
    println!(
        "{series} series, {steps} steps: {:.0} s, CPU {:.3} us per sample with all sealing and merging",
        begin.elapsed().as_secs_f64(),
        (cpu_seconds() - cpu) * 1e6 / samples
    );
    print_blocks(&report);
    println!("resident at the end: {:.0} MB", resident_bytes()? / 1e6);
    Ok(())
}

fn print_blocks(report: &StoreReport) {
    // The one sample that ended the day is in a block of its own.
    for block in report.blocks.iter().filter(|block| block.meta.last_ms - block.meta.first_ms > 3_600_000) {
        let (meta, count) = (&block.meta, block.meta.samples as f64);
        println!(
            "block of {:.1} h: {} series, {count} samples, {:.1} MB payload; chunks {:.3}, with index {:.3} bytes per sample; disk {:.2} x payload",
            (meta.last_ms - meta.first_ms) as f64 / 3.6e6,
            meta.series,
            meta.payload_bytes as f64 / 1e6,
            meta.chunk_bytes as f64 / count,
            meta.payload_bytes as f64 / count,
            block.disk_bytes as f64 / meta.payload_bytes as f64
        );
    }
    println!("log on the disk: {:.1} MB", report.log_disk_bytes as f64 / 1e6);
}

/// A day of captured bodies, with the times that they give, played again until it is full.
fn captured(from: &Path) -> Result<()> {
    const DAY_MS: i64 = 24 * 3_600_000;
    const TURN_MS: i64 = 60_000;
    let bodies = Bodies::read(from)?;
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), settings(), START_MS)?;
    let resolve = |place: usize| store.series_ref(&bodies.series[place].labels, "captured");
    let mut refs = (0..bodies.series.len()).map(resolve).collect::<Result<Vec<_>, _>>()?;
    let mut append = |turn: &[(i64, usize, f64)]| -> Result<()> {
        let Some(&(last_ms, ..)) = turn.last() else { return Ok(()) };
        let now_ms = START_MS + last_ms;
        let mut left: Vec<usize> = (0..turn.len()).collect();
        while !left.is_empty() {
            let sample = |&at: &usize| {
                let (time_ms, place, value) = turn[at];
                Incoming { series: refs[place], timestamp_ms: START_MS + time_ms, value }
            };
            let batch: Vec<Incoming> = left.iter().map(sample).collect();
            let report = store.append(now_ms, &batch)?;
            ensure!(report.stored + report.gone.len() == batch.len(), "{report:?}");
            // Those that had ended, and come again with the next round.
            left = report.gone.iter().map(|&position| left[position]).collect();
            for &at in &left {
                refs[turn[at].1] = resolve(turn[at].1)?;
            }
        }
        store.flush()?;
        Ok(store.maintain(now_ms)?)
    };
    for round in 0..=DAY_MS / bodies.round_ms {
        let mut all = Vec::new();
        for (place, series) in bodies.series.iter().enumerate() {
            let points = series.in_round(round, bodies.round_ms);
            all.extend(points.map(|(time_ms, value)| (time_ms, place, value)));
        }
        all.retain(|(time_ms, ..)| (0..DAY_MS).contains(time_ms));
        all.sort_by_key(|(time_ms, ..)| *time_ms);
        all.chunk_by(|a, b| a.0 / TURN_MS == b.0 / TURN_MS).try_for_each(&mut append)?;
    }
    // One sample of the next day ends the day before.
    append(&[(DAY_MS + 2 * 3_600_000, 0, 0.0)])?;
    store.seal_all()?;
    store.maintain(START_MS + DAY_MS + 4 * 3_600_000)?;
    println!(
        "{} captured series, a round of {:.0} s again and again",
        bodies.series.len(),
        bodies.round_ms as f64 / 1e3
    );
    print_blocks(&store.report()?);
    Ok(())
}

fn bulk(series: u32, steps: i64) -> Result<()> {
    const THREADS: u32 = 2;
    let dir = tempfile::tempdir()?;
    let store = Arc::new(Store::open(dir.path(), settings(), START_MS)?);
    let service = Service::start(&store, FLUSH_INTERVAL)?;
    let values: Vec<Vec<f64>> = (0..1000)
        .map(|number| {
            let mut walk = Walk::new(number);
            (0..steps).map(|_| walk.next_value()).collect()
        })
        .collect();
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, values) = (&store, &values);
                scope.spawn(move || -> Result<()> {
                    let mine = (0..series).filter(|number| number % THREADS == thread);
                    let refs = mine
                        .map(|number| {
                            Ok((store.series_ref(&labels(number), "bulk")?, number as usize % values.len()))
                        })
                        .collect::<Result<Vec<_>>>()?;
                    let mut batch = Vec::with_capacity(refs.len());
                    for step in 0..steps {
                        batch.clear();
                        batch.extend(refs.iter().map(|&(series, walk)| Incoming {
                            series,
                            timestamp_ms: time_ms(step),
                            value: values[walk][step as usize],
                        }));
                        let report = store.append(time_ms(step), &batch)?;
                        anyhow::ensure!(report.stored == batch.len(), "{report:?}");
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread of the load"))
    })?;
    store.flush()?;
    let seconds = begin.elapsed().as_secs_f64();
    let samples = f64::from(series) * steps as f64;
    println!(
        "{series} series, {steps} samples each, in the log on the disk: {:.2} M samples/s, CPU {:.3} us per sample",
        samples / seconds / 1e6,
        (cpu_seconds() - cpu) * 1e6 / samples
    );
    drop(service);
    Ok(())
}

/// The store as the scraper of applications knows it.
struct StoreSink(Arc<Store>);

impl AppSink for StoreSink {
    type Series = SeriesRef;
    type Sample = Incoming;

    fn resolve(&self, labels: &Labels, source: &str) -> Result<SeriesRef, Refused> {
        self.0.series_ref(labels, source).map_err(|error| Refused(error.to_string()))
    }

    fn sample(series: SeriesRef, timestamp_ms: i64, value: f64) -> Incoming {
        Incoming { series, timestamp_ms, value }
    }

    fn append(&self, now_ms: i64, samples: &[Incoming]) -> Result<Appended, String> {
        let report = self.0.append(now_ms, samples).map_err(|error| error.to_string())?;
        let (conflicts, too_old, too_new) = (report.conflicts, report.too_old, report.too_new);
        Ok(Appended { conflicts, too_old, too_new, gone: report.gone })
    }
}

/// From the text of answers to the store, through what scrapes applications.
fn scrape(series: u32, steps: i64) -> Result<()> {
    const PER_TARGET: u32 = 1000;
    let dir = tempfile::tempdir()?;
    let store = Arc::new(Store::open(dir.path(), settings(), START_MS)?);
    let service = Service::start(&store, FLUSH_INTERVAL)?;
    let sink = StoreSink(store);
    let jobs = Config::parse("scrape_configs: [{job_name: bench}]", Path::new("bench.yml"))?.jobs;
    let job = jobs.first().context("no job")?;
    let mut walks: Vec<Walk> = (0..series).map(Walk::new).collect();
    let names: Vec<String> = (0..series).map(series_text).collect();
    let targets = series.div_ceil(PER_TARGET) as usize;
    let mut ingests: Vec<Ingest<StoreSink>> = std::iter::repeat_with(Ingest::default).take(targets).collect();
    let mut cpu = 0.0;
    for step in 0..steps {
        for (target, ingest) in ingests.iter_mut().enumerate() {
            let from = target * PER_TARGET as usize;
            let to = (from + PER_TARGET as usize).min(series as usize);
            let body: String = (from..to)
                .map(|number| format!("{} {}\n", names[number], walks[number].next_value()))
                .collect();
            let instance = format!("10.0.0.1:{target}");
            let labels = Labels::from_pairs([("job", "bench"), ("instance", instance.as_str())])?;
            let of = Of { job, labels: &labels, source: &instance, sink: &sink };
            let begin = cpu_seconds();
            let done = ingest.take(&of, &body, Format::Text004, time_ms(step), time_ms(step));
            // The first scrape makes the series.
            if step > 0 {
                cpu += cpu_seconds() - begin;
            }
            ensure!(done.error.is_none() && done.counts.scraped == to - from, "{done:?}");
        }
    }
    let samples = f64::from(series) * (steps - 1) as f64;
    println!(
        "{series} series, {steps} scrapes: CPU {:.3} us per sample from text to appended (log included)",
        cpu * 1e6 / samples
    );
    drop(service);
    Ok(())
}

fn series_text(number: u32) -> String {
    let labels = labels(number);
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    format!("{}{{{}}}", labels.get("__name__").unwrap_or(""), pairs.join(","))
}

fn resident(series: u32, steps: i64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), settings(), START_MS)?;
    let empty = resident_bytes()?;
    let mut filler = Filler::new(store, series)?;
    let walks = series as usize * (size_of::<Walk>() + size_of::<SeriesRef>());
    for step in 0..steps {
        filler.step(step)?;
        filler.store.flush()?;
        filler.store.maintain(time_ms(step))?;
    }
    let report = filler.store.report()?;
    println!(
        "{series} series, {steps} samples each in memory or sealed ({} blocks): {:.0} bytes resident per series, of which samples {:.0}",
        report.blocks.len(),
        (resident_bytes()? - empty - walks as f64) / f64::from(series),
        report.head_sample_bytes as f64 / f64::from(series)
    );
    Ok(())
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), op, value: value.to_owned() }
}

fn selections(series: u32, steps: i64) -> Result<()> {
    const ROUNDS: usize = 2000;
    let dir = tempfile::tempdir()?;
    let mut filler = Filler::new(Store::open(dir.path(), settings(), START_MS)?, series)?;
    for step in 0..steps {
        filler.step(step)?;
    }
    let limits = ReadLimits { series: 1_000_000, samples: 50_000_000 };
    let end_ms = time_ms(steps - 1);
    let mut times = Vec::new();
    let mut found = 0;
    for round in 0..ROUNDS {
        let matchers = [
            matcher("__name__", MatchOp::Equal, &format!("container_metric_{:02}_total", round % 50)),
            matcher("namespace", MatchOp::Equal, &format!("ns-{}", round as u32 % (series / 5000).max(1))),
        ];
        let begin = Instant::now();
        found = filler.store.select(&matchers, end_ms - 120_000, end_ms, limits)?.len();
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "of {series} series, {found} by name and namespace, two minutes: p50 {:.0} us, p99 {:.0} us",
        times[ROUNDS / 2],
        times[ROUNDS * 99 / 100]
    );
    let wide = [matcher("__name__", MatchOp::Matches, "container_metric_[0-2].*")];
    let mut times = Vec::new();
    for _ in 0..11 {
        let begin = Instant::now();
        found = filler.store.select(&wide, end_ms - 120_000, end_ms, limits)?.len();
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "of {series} series, {found} by an expression, two minutes: median {:.1} ms",
        times[times.len() / 2]
    );
    Ok(())
}

/// Half of the series are one metric of an application, the others what containers have.
fn queries(series: u32, steps: i64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let half = series / 2;
    let mixed = |number| if number < half { request_labels(number) } else { labels(number - half) };
    let mut filler = Filler::with(Store::open(dir.path(), settings(), START_MS)?, series, mixed)?;
    for step in 0..steps {
        filler.step(step)?;
    }
    let store = &*filler.store;
    let end_ms = time_ms(steps - 1);
    let namespaces = half.div_ceil(5000);
    let hpa = |round: u32| {
        let (metric, namespace) = (round % 50, round % namespaces);
        format!("sum by (pod) (rate(container_metric_{metric:02}_total{{namespace=\"ns-{namespace}\"}}[2m]))")
    };
    print_query("instant, of the HPA kind", 2000, |round| evaluate(store, &hpa(round), end_ms, 1))?;
    let wide = "sum by (namespace) (rate(http_requests_total[2m]))";
    print_query(wide, 21, |_| evaluate(store, wide, end_ms, 1))?;
    print_query(&format!("{wide}, 51 steps"), 21, |_| evaluate(store, wide, end_ms, 51))?;
    let plain = "sum by (namespace) (http_requests_total)";
    print_query(plain, 21, |_| evaluate(store, plain, end_ms, 1))?;
    print_query(&format!("{plain}, 51 steps"), 21, |_| evaluate(store, plain, end_ms, 51))?;
    let without = "sum without (code, handler) (rate(http_requests_total[2m]))";
    print_query(without, 11, |_| evaluate(store, without, end_ms, 1))
}

/// Answers how many series the result has.
fn evaluate(store: &Store, query: &str, end_ms: i64, steps: i64) -> Result<usize> {
    let expr = promql::parse(query).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    // As many as the server takes on a machine of two cores.
    let options = Options { threads: 2, ..Options::default() };
    let outcome = if steps == 1 {
        promql::engine::instant(store, &expr, end_ms, &options, &Unwatched)?
    } else {
        let range = (end_ms - (steps - 1) * STEP_MS, end_ms, STEP_MS);
        promql::engine::range(store, &expr, range, &options, &Unwatched)?
    };
    match outcome.value {
        Value::Vector(series) | Value::Matrix(series) => Ok(series.len()),
        other => anyhow::bail!("{query}: {other:?}"),
    }
}

fn print_query(name: &str, rounds: u32, run: impl Fn(u32) -> Result<usize>) -> Result<()> {
    let mut times = Vec::new();
    let mut found = 0;
    for round in 0..rounds {
        let begin = Instant::now();
        found = run(round)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{name}: {found} results, p50 {median:.2} ms, p99 {p99:.2} ms");
    Ok(())
}

/// A tenth of the series is replaced each hour, spread over it.
fn churn(series: u32, steps: i64) -> Result<()> {
    const STEPS_AN_HOUR: i64 = 3600 * 1000 / STEP_MS;
    let dir = tempfile::tempdir()?;
    let settings = Settings { retention_ms: Some(24 * 3600 * 1000), ..settings() };
    let mut filler = Filler::new(Store::open(dir.path(), settings, START_MS)?, series)?;
    let mut next = series;
    println!("hour  series in memory  resident MB  disk MB  blocks");
    let mut hours = Vec::new();
    for step in 0..steps {
        let due = i64::from(series) / 10 * (step + 1) / STEPS_AN_HOUR;
        while i64::from(next - series) < due {
            let place = (next % series) as usize;
            filler.refs[place] = filler.store.series_ref(&labels(next), "churn")?;
            filler.walks[place] = Walk::new(next);
            next += 1;
        }
        filler.step(step)?;
        filler.store.flush()?;
        filler.store.maintain(time_ms(step))?;
        if (step + 1) % STEPS_AN_HOUR == 0 {
            let report = filler.store.report()?;
            let hour = (step + 1) / STEPS_AN_HOUR;
            hours.push((resident_bytes()? / 1e6, report.disk_bytes() as f64 / 1e6));
            if hour % 6 == 0 {
                println!(
                    "{hour:>4}  {:>16}  {:>11.0}  {:>7.0}  {:>6}",
                    report.head_series,
                    resident_bytes()? / 1e6,
                    report.disk_bytes() as f64 / 1e6,
                    report.blocks.len()
                );
            }
        }
    }
    println!("{next} series in all, {series} of them at a time");
    for (third, hours) in ["start", "middle", "end"].iter().zip(hours.chunks(hours.len().div_ceil(3).max(1)))
    {
        let of = |pick: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = hours.iter().map(pick).collect();
            all.sort_unstable_by(f64::total_cmp);
            format!("{:.0} to {:.0}, median {:.0} MB", all[0], all[all.len() - 1], all[all.len() / 2])
        };
        println!(
            "{third:>6} ({} h, hourly): resident {}; disk {}",
            hours.len(),
            of(|hour| hour.0),
            of(|hour| hour.1)
        );
    }
    Ok(())
}

/// Writes, says so, and waits for its end.
fn be_killed(dir: &Path, series: u32, steps: i64) -> Result<()> {
    let mut filler = Filler::new(Store::open(dir, settings(), START_MS)?, series)?;
    for step in 0..steps {
        filler.step(step)?;
        filler.store.flush()?;
        filler.store.maintain(time_ms(step))?;
    }
    println!("written");
    loop {
        std::thread::park();
    }
}

fn ready(series: u32, steps: i64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["ready", "--series", &series.to_string(), "--steps", &steps.to_string(), "--dir"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output")?;
    let said = BufReader::new(output).lines().next().context("the child ended")??;
    child.kill()?;
    child.wait()?;
    anyhow::ensure!(said == "written", "{said}");
    let begin = Instant::now();
    let store = Store::open(dir.path(), settings(), time_ms(steps))?;
    let seconds = begin.elapsed().as_secs_f64();
    let report = store.report()?;
    println!(
        "{series} series with {steps} samples each ({} in memory again): ready {seconds:.2} s after kill -9",
        report.head_series
    );
    Ok(())
}

#![allow(clippy::disallowed_methods, reason = "looks at the folder of a store, and damages it")]

use std::collections::BTreeMap;

use flyball_model::labels::Labels;
use proptest::prelude::*;

use super::*;
use crate::disk::Write;
use crate::head::PARTITION_MS;
use crate::log;
use crate::series::{MatchOp, Matcher, ReadError, ReadLimits, STALE_NAN_BITS, SeriesSource};

const START_MS: i64 = 1_760_400_000_000 / PARTITION_MS * PARTITION_MS;
const ALL: ReadLimits = ReadLimits { series: 1_000_000, samples: 100_000_000 };

fn labels(number: u32) -> Labels {
    Labels::from_pairs([
        ("__name__".to_owned(), format!("metric_{}", number % 3)),
        ("pod".to_owned(), format!("pod-{number}")),
        ("even".to_owned(), number.is_multiple_of(2).to_string()),
    ])
    .unwrap()
}

fn lasting() -> Settings {
    Settings { retention_ms: None, ..Settings::default() }
}

fn open(disk: &MemoryDisk, now_ms: i64) -> Store {
    Store::open_in_memory(disk.clone(), lasting(), now_ms).unwrap()
}

fn put(store: &Store, now_ms: i64, number: u32, timestamp_ms: i64, value: f64) -> AppendReport {
    let series = store.series_ref(&labels(number), "test").unwrap();
    store.append(now_ms, &[Incoming { series, timestamp_ms, value }]).unwrap()
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), op, value: value.to_owned() }
}

type Content = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn read(store: &Store) -> Content {
    let series = store.select(&[matcher("__name__", MatchOp::Matches, ".+")], 0, i64::MAX, ALL).unwrap();
    let samples = |series: &crate::series::Series| {
        series.points.iter().map(|point| (point.timestamp_ms, point.value.to_bits())).collect()
    };
    series.iter().map(|series| ((*series.labels).clone(), samples(series))).collect()
}

/// Fills some hours, maintaining as a service would.
fn fill(store: &Store, series: u32, hours: i64) -> i64 {
    fill_from(store, series, 0, hours)
}

/// As [`fill`], from an hour to an hour.
fn fill_from(store: &Store, series: u32, from: i64, to: i64) -> i64 {
    let mut now_ms = START_MS;
    for step in from * 60..to * 60 {
        now_ms = START_MS + step * 60_000;
        let batch: Vec<Incoming> = (0..series)
            .map(|number| Incoming {
                series: store.series_ref(&labels(number), "test").unwrap(),
                timestamp_ms: now_ms,
                value: f64::from(number) + step as f64,
            })
            .collect();
        let report = store.append(now_ms, &batch).unwrap();
        assert_eq!(report.stored, batch.len());
        store.maintain(now_ms).unwrap();
    }
    store.flush().unwrap();
    now_ms
}

#[derive(Debug, Clone)]
enum Step {
    Append { series: u32, back_ms: i64, value: u8 },
    Advance { ms: i64 },
    Flush,
    Maintain,
    Crash,
    SealAll,
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u32..6, prop_oneof![8 => Just(0i64), 2 => -700_000i64..2_400_000], 0u8..4)
            .prop_map(|(series, back_ms, value)| Step::Append { series, back_ms, value }),
        6 => prop_oneof![5 => 1i64..60_000, 1 => 0i64..PARTITION_MS, 1 => -600_000i64..0].prop_map(|ms| Step::Advance { ms }),
        2 => Just(Step::Flush),
        2 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        1 => Just(Step::SealAll),
        1 => Just(Step::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, the store holds what a map holds: after a crash, what had been flushed.
    #[test]
    fn it_is_a_map_that_outlives_crashes(steps in prop::collection::vec(step(), 1..150)) {
        let disk = MemoryDisk::default();
        let mut now_ms = START_MS;
        let mut store = open(&disk, now_ms);
        let mut model = Content::new();
        let mut durable = Content::new();
        for step in steps {
            match step {
                Step::Append { series, back_ms, value } => {
                    let timestamp_ms = now_ms - back_ms;
                    let value = if value == 3 { f64::from_bits(STALE_NAN_BITS) } else { f64::from(value) };
                    let report = put(&store, now_ms, series, timestamp_ms, value);
                    if back_ms > lasting().oldest_ms || -back_ms > lasting().future_ms {
                        prop_assert_eq!(report.too_old + report.too_new, 1);
                        continue;
                    }
                    prop_assert_eq!(report.too_old + report.too_new + report.gone.len(), 0);
                    model.entry(labels(series)).or_default().entry(timestamp_ms).or_insert(value.to_bits());
                }
                Step::Advance { ms } => now_ms += ms,
                Step::Flush => {
                    store.flush().unwrap();
                    durable = model.clone();
                }
                Step::Maintain => {
                    store.maintain(now_ms).unwrap();
                    store.flush().unwrap();
                    durable = model.clone();
                }
                Step::SealAll => {
                    store.seal_all().unwrap();
                    durable = model.clone();
                }
                Step::Checkpoint => {
                    store.checkpoint_with(&mut store.writer(), now_ms).unwrap();
                    durable = model.clone();
                }
                Step::Crash => {
                    let left = disk.fork();
                    drop(store);
                    store = open(&left, now_ms);
                    model = durable.clone();
                    prop_assert_eq!(read(&store), model.clone());
                    // Go on with what the crash left.
                    disk.replace_with(&left);
                    drop(store);
                    store = open(&disk, now_ms);
                }
            }
        }
        prop_assert_eq!(read(&store), model);
        prop_assert!(store.report().unwrap().damage.is_empty());
    }
}

#[test]
fn hours_become_blocks_and_blocks_become_larger_ones() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    fill(&store, 5, 27);
    let report = store.report().unwrap();
    let spans: Vec<i64> =
        report.blocks.iter().map(|block| (block.meta.last_ms - block.meta.first_ms) / PARTITION_MS).collect();
    assert!(report.blocks.len() <= 7, "{spans:?}");
    assert!(spans.iter().any(|&span| span >= 5), "{spans:?}");
    let content = read(&store);
    assert_eq!(content.len(), 5);
    assert!(
        content.values().all(|samples| samples.len() == 27 * 60),
        "{:?}",
        content.values().map(BTreeMap::len)
    );
    drop(store);
    assert_eq!(read(&open(&disk, START_MS)), content);
    assert!(report.disk_bytes_per_day().unwrap() > 0.0);
}

#[test]
fn series_that_ended_leave_memory_and_their_places_are_used_again() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    let old = store.series_ref(&labels(1), "old").unwrap();
    put(&store, START_MS, 1, START_MS, 1.0);
    store.seal_all().unwrap();
    assert_eq!(store.report().unwrap().head_series, 0);
    assert_eq!(store.report().unwrap().head_symbols, 0);
    let report =
        store.append(START_MS, &[Incoming { series: old, timestamp_ms: START_MS + 1, value: 2.0 }]).unwrap();
    assert_eq!(report.gone, [0]);
    put(&store, START_MS, 2, START_MS, 7.0);
    let content = read(&store);
    assert_eq!(content[&labels(1)].len(), 1);
    assert_eq!(content[&labels(2)].len(), 1);
}

#[test]
fn a_slot_that_is_used_again_is_not_mistaken_after_a_crash() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    put(&store, START_MS, 1, START_MS, 1.0);
    store.seal_all().unwrap();
    // Same slot, same partition, another series; then the first one again under another slot.
    put(&store, START_MS, 2, START_MS + 1, 2.0);
    put(&store, START_MS, 1, START_MS + 2, 3.0);
    store.flush().unwrap();
    let content = read(&store);
    drop(store);
    let store = open(&disk, START_MS);
    assert_eq!(read(&store), content);
    // Slots were given anew by the recovery: what is logged under them now must not be taken for what was before.
    put(&store, START_MS, 1, START_MS + 4, 4.0);
    store.checkpoint_with(&mut store.writer(), START_MS).unwrap();
    put(&store, START_MS, 2, START_MS + 5, 5.0);
    store.flush().unwrap();
    let content = read(&store);
    drop(store);
    assert_eq!(read(&open(&disk, START_MS)), content);
}

#[test]
fn selections() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    let end_ms = fill(&store, 10, 5);
    let count = |matchers: &[Matcher]| store.select(matchers, 0, i64::MAX, ALL).unwrap().len();
    use MatchOp::{Equal, Matches, NotEqual, NotMatches};
    assert_eq!(count(&[matcher("__name__", Equal, "metric_0")]), 4);
    assert_eq!(count(&[matcher("__name__", Equal, "metric_0"), matcher("even", Equal, "true")]), 2);
    assert_eq!(count(&[matcher("pod", Matches, "pod-1|pod-2|pod-77")]), 2);
    assert_eq!(count(&[matcher("pod", Matches, "pod-[0-4]")]), 5);
    assert_eq!(count(&[matcher("pod", NotMatches, "pod-[0-4]")]), 5);
    assert_eq!(count(&[matcher("pod", NotEqual, "pod-1")]), 9);
    assert_eq!(count(&[matcher("absent", Equal, "")]), 10);
    assert_eq!(count(&[matcher("absent", NotEqual, "")]), 0);
    assert_eq!(count(&[matcher("absent", Matches, "x|")]), 10);
    assert_eq!(count(&[matcher("pod", Equal, "")]), 0);
    let one = [matcher("pod", Equal, "pod-3")];
    // Across the border of a block and of memory; both ends belong to the range.
    let range = store.select(&one, START_MS + 60_000, end_ms - 60_000, ALL).unwrap();
    assert_eq!(range[0].points.len(), 5 * 60 - 2);
    assert!(store.select(&one, end_ms + 1, i64::MAX, ALL).unwrap().is_empty());
    assert_eq!(store.label_names(&[], START_MS, START_MS).unwrap(), ["__name__", "even", "pod"]);
    assert_eq!(store.label_values("even", &one, 0, i64::MAX).unwrap(), ["false"]);
    assert_eq!(store.label_values("pod", &[], 0, i64::MAX).unwrap().len(), 10);
    assert!(store.label_values("pod", &[], end_ms + 1, i64::MAX).unwrap().is_empty());
    assert_eq!(store.series(&one, 0, i64::MAX).unwrap(), [Arc::new(labels(3))]);
    let few = ReadLimits { series: 3, samples: 100 };
    let error = store.select(&[matcher("even", Equal, "true")], end_ms, end_ms, few).unwrap_err();
    assert_eq!(error, ReadError::TooMuch { what: "series", limit: 3 });
    let error = store.select(&one, 0, i64::MAX, few).unwrap_err();
    assert_eq!(error, ReadError::TooMuch { what: "samples", limit: 100 });
}

#[test]
fn shared_out_aggregations_are_those_of_one_thread() {
    use crate::promql::engine::{Options, Unwatched, Value, range};
    let store = open(&MemoryDisk::default(), START_MS);
    // More than two threads' worth.
    for number in 0..10_000 {
        for minute in 0..4 {
            put(
                &store,
                START_MS + 180_000,
                number,
                START_MS + minute * 60_000,
                f64::from(number % 97) + minute as f64 / 3.0,
            );
        }
    }
    let numbers = |text: &str, threads: usize| {
        let expr = crate::promql::parse(text).unwrap();
        let options = Options { threads, max_samples: 2_000, ..Options::default() };
        let times = (START_MS, START_MS + 180_000, 60_000);
        let Value::Matrix(series) = range(&store, &expr, times, &options, &Unwatched).unwrap().value else {
            panic!()
        };
        let values = |one: &crate::promql::engine::ResultSeries| {
            ((*one.labels).clone(), one.points.iter().map(|point| point.value).collect::<Vec<f64>>())
        };
        series.iter().map(values).collect::<Vec<_>>()
    };
    for query in [
        "sum by (even) ({__name__=~\"metric_.*\"})",
        "avg without (pod) (rate(metric_1[3m]))",
        "stddev(metric_0)",
        "max by (even) (metric_2)",
        "count({even=\"true\"})",
        // Too much for each of several threads, not for one.
        "min by (pod) (metric_0{pod=~\"pod-[0-9]{1,3}\"})",
    ] {
        let (one, several) = (numbers(query, 1), numbers(query, 3));
        assert!(!one.is_empty() && one.len() == several.len(), "{query}");
        for ((labels, one), (others, several)) in one.iter().zip(&several) {
            assert_eq!(labels, others, "{query}");
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * a.abs();
            assert!(
                one.len() == several.len() && one.iter().zip(several).all(close),
                "{query}: {one:?} {several:?}"
            );
        }
    }
}

#[test]
fn too_many_series_are_refused_and_who_brings_them_is_named() {
    let settings = Settings { series_per_source: 3, series_total: 5, ..lasting() };
    let store = Store::open_in_memory(MemoryDisk::default(), settings, START_MS).unwrap();
    (0..3).for_each(|number| {
        store.series_ref(&labels(number), "noisy").unwrap();
    });
    let error = store.series_ref(&labels(3), "noisy").unwrap_err();
    assert!(error.to_string().starts_with("noisy has 3 series"), "{error}");
    store.series_ref(&labels(2), "noisy").unwrap();
    (3..5).for_each(|number| {
        store.series_ref(&labels(number), "quiet").unwrap();
    });
    let error = store.series_ref(&labels(5), "late").unwrap_err();
    assert!(error.to_string().contains("noisy has the most, 3"), "{error}");
    let report = store.report().unwrap();
    assert_eq!(report.refused_series, BTreeMap::from([("late".to_owned(), 1), ("noisy".to_owned(), 1)]));
    assert_eq!(report.largest_sources[0], ("noisy".to_owned(), 3));
    let long = "x".repeat(100_000);
    let bomb = Labels::from_pairs([("__name__", "bomb"), ("l", long.as_str())]).unwrap();
    let error = store.series_ref(&bomb, "bomber").unwrap_err();
    assert!(error.to_string().contains("bomber") && error.to_string().ends_with(": bomb"), "{error}");
}

#[test]
fn times_far_off_are_refused_and_the_rest_of_the_batch_is_taken() {
    let store = open(&MemoryDisk::default(), START_MS);
    for (timestamp_ms, stored, too_old, too_new) in [
        (START_MS, 1, 0, 0),
        (0, 0, 1, 0),
        (-5, 0, 1, 0),
        (i64::MIN, 0, 1, 0),
        (i64::MAX, 0, 0, 1),
        (START_MS + lasting().future_ms, 1, 0, 0),
        (START_MS + lasting().future_ms + 1, 0, 0, 1),
        (START_MS - lasting().oldest_ms, 1, 0, 0),
        (START_MS - lasting().oldest_ms - 1, 0, 1, 0),
    ] {
        let report = put(&store, START_MS, 1, timestamp_ms, 1.0);
        assert_eq!(
            (report.stored, report.too_old, report.too_new),
            (stored, too_old, too_new),
            "{timestamp_ms}"
        );
    }
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    put(&store, START_MS, 1, START_MS, 1.0);
    // A day ahead: everything before is sealed.
    let ahead_ms = START_MS + 24 * 60 * 60 * 1000;
    put(&store, ahead_ms, 1, ahead_ms, 2.0);
    store.maintain(ahead_ms).unwrap();
    // Back again.
    let report = put(&store, START_MS + 15_000, 1, START_MS + 15_000, 3.0);
    assert_eq!(report.stored, 1);
    store.maintain(ahead_ms + PARTITION_MS * 2).unwrap();
    assert_eq!(read(&store)[&labels(1)].len(), 3);
    assert_eq!(read(&open(&disk, START_MS))[&labels(1)].len(), 3);
}

#[test]
fn a_clock_that_is_far_ahead_for_a_while_costs_no_history() {
    let disk = MemoryDisk::default();
    let short = Settings { retention_ms: Some(24 * 60 * 60 * 1000), ..lasting() };
    let store = Store::open_in_memory(disk, short, START_MS).unwrap();
    let now_ms = fill(&store, 3, 10);
    let before = read(&store);
    // A year, for some minutes, in which samples come.
    let ahead_ms = now_ms + 365 * 24 * 60 * 60 * 1000;
    for minute in 0..10 {
        let at_ms = ahead_ms + minute * 60_000;
        assert_eq!(put(&store, at_ms, 1, at_ms, 5.0).stored, 1);
        store.maintain(at_ms).unwrap();
    }
    store.maintain(now_ms + 600_000).unwrap();
    let after = read(&store);
    assert!(
        before.iter().all(|(labels, samples)| samples.iter().all(|(at, bits)| after[labels][at] == *bits))
    );
    // Right again: what comes is taken, and what is too old goes as ever.
    assert_eq!(put(&store, now_ms + 660_000, 2, now_ms + 660_000, 6.0).stored, 1);
}

#[test]
fn retention_by_time_and_by_size_frees_at_once() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    let now_ms = fill(&store, 20, 20);
    store.seal_all().unwrap();
    let before = store.report().unwrap();
    drop(store);
    let short = Settings { retention_ms: Some(6 * 60 * 60 * 1000), ..lasting() };
    let store = Store::open_in_memory(disk.clone(), short, now_ms).unwrap();
    store.maintain(now_ms).unwrap();
    let after = store.report().unwrap();
    assert!(after.blocks.len() < before.blocks.len() && !after.blocks.is_empty());
    assert!(after.blocks.iter().all(|block| block.meta.last_ms >= now_ms - 6 * 60 * 60 * 1000));
    assert!(after.disk_bytes() < before.disk_bytes());
    drop(store);
    let small = Settings { retention_bytes: Some(after.disk_bytes() - 1), ..lasting() };
    let store = Store::open_in_memory(disk, small, now_ms).unwrap();
    store.maintain(now_ms).unwrap();
    assert!(store.report().unwrap().disk_bytes() < after.disk_bytes());
}

#[test]
fn a_full_disk_stops_samples_not_queries_and_ends_by_itself() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    put(&store, START_MS, 1, START_MS, 1.0);
    store.flush().unwrap();
    disk.set_capacity(Some(1));
    put(&store, START_MS, 1, START_MS + 1, 2.0);
    assert!(store.flush().is_err());
    let series = store.series_ref(&labels(1), "test").unwrap();
    let sample = Incoming { series, timestamp_ms: START_MS + 2, value: 3.0 };
    let error = store.append(START_MS, &[sample]).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert!(store.report().unwrap().stopped.unwrap().contains("full"));
    assert_eq!(read(&store)[&labels(1)].len(), 2);
    assert!(store.maintain(START_MS + 10 * PARTITION_MS).is_err());
    assert_eq!(read(&store)[&labels(1)].len(), 2);
    disk.set_capacity(None);
    store.flush().unwrap();
    assert_eq!(store.append(START_MS, &[sample]).unwrap().stored, 1);
    store.flush().unwrap();
    drop(store);
    assert_eq!(read(&open(&disk, START_MS))[&labels(1)].len(), 3);
}

#[test]
fn a_full_disk_drops_the_oldest_when_told_so() {
    let disk = MemoryDisk::default();
    let dropping = Settings { on_full: OnFull::DropOldest, ..lasting() };
    let store = Store::open_in_memory(disk.clone(), dropping, START_MS).unwrap();
    let now_ms = fill(&store, 10, 12);
    let before = store.report().unwrap();
    disk.set_capacity(Some(before.disk_bytes()));
    put(&store, now_ms, 1, now_ms + 1, 1.0);
    store.flush().unwrap();
    let after = store.report().unwrap();
    assert_eq!(after.stopped, None);
    assert!(after.blocks.len() < before.blocks.len());
    assert!(after.blocks.first().unwrap().meta.first_ms > before.blocks.first().unwrap().meta.first_ms);
}

#[test]
fn damage_costs_what_it_holds_and_is_told_and_mended() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    fill(&store, 30, 5);
    let whole = read(&store);
    let block = store.report().unwrap().blocks[0].block;
    drop(store);
    // One value of the block's chunks (there is one here, so all its samples), one flush of the log.
    assert!(disk.damage(Some(block), |key| key[0] == b'C'));
    assert!(disk.damage(None, |key| key[0] == log::KIND_SAMPLES));
    let store = open(&disk, START_MS);
    let left = read(&store);
    assert_eq!(left.len(), 30);
    let samples = |content: &Content| content.values().map(BTreeMap::len).sum::<usize>();
    assert!(samples(&left) < samples(&whole) && samples(&left) > samples(&whole) / 3);
    assert!(
        left.iter().all(|(labels, samples)| samples.iter().all(|(time, bits)| whole[labels][time] == *bits))
    );
    let report = store.report().unwrap();
    assert_eq!(report.damage.len(), 2, "{:?}", report.damage);
    let found = store.check(false).unwrap();
    assert!(found.losses.len() >= 2 && found.losses.iter().all(|loss| loss.repair.is_none()), "{found:?}");
    let mended = store.check(true).unwrap();
    assert!(mended.losses.iter().any(|loss| loss.repair.is_some()), "{mended:?}");
    drop(store);
    let store = open(&disk, START_MS);
    assert!(store.check(false).unwrap().losses.is_empty());
    assert_eq!(read(&store), left);
}

#[test]
fn what_merging_finds_damaged_is_told() {
    let disk = MemoryDisk::default();
    // Twelve hours are merged when the two after them are sealed.
    let now_ms = fill(&open(&disk, START_MS), 3, 14);
    let blocks = disk.blocks().unwrap();
    assert!(disk.damage(Some(blocks[2]), |key| key[0] == b'C'));
    let store = open(&disk, now_ms);
    assert!(store.report().unwrap().damage.is_empty(), "nobody has looked into it");
    fill_from(&store, 3, 14, 15);
    let report = store.report().unwrap();
    assert!(report.blocks.len() < blocks.len(), "merged: {:?}", report.blocks);
    let told: Vec<&str> = report.damage.values().map(String::as_str).collect();
    assert_eq!(told, ["samples of the series from number 0 on"]);
    assert!(read(&store).values().all(|samples| samples.len() == 13 * 60));
}

#[test]
fn a_block_that_cannot_be_opened_keeps_no_others_from_being_merged() {
    let disk = MemoryDisk::default();
    let now_ms = fill(&open(&disk, START_MS), 3, 14);
    let blocks = disk.blocks().unwrap();
    assert!(disk.damage(Some(blocks[2]), |key| key[0] == b'M'));
    let store = open(&disk, now_ms);
    fill_from(&store, 3, 14, 15);
    let report = store.report().unwrap();
    assert!(report.blocks.len() < blocks.len(), "merged: {:?}", report.blocks);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    assert!(report.blocks.iter().any(|block| block.block == blocks[2]), "a person may look at it");
    assert!(read(&store).values().all(|samples| samples.len() == 13 * 60));
}

#[test]
fn a_copy_is_a_store_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&MemoryDisk::default(), START_MS);
    let now_ms = fill(&store, 10, 5);
    put(&store, now_ms, 3, now_ms + 1, 9.0);
    let target = dir.path().join("copy");
    store.snapshot(&target).unwrap();
    let error = store.snapshot(&target).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    let copy = Store::open(&target, Settings { reserve_bytes: 0, ..lasting() }, now_ms).unwrap();
    assert_eq!(read(&copy), read(&store));
    assert!(copy.check(false).unwrap().losses.is_empty());
}

#[test]
fn a_store_on_disk_comes_back_with_blocks_and_log() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { reserve_bytes: 0, ..lasting() };
    let store = Store::open(dir.path(), settings, START_MS).unwrap();
    let now_ms = fill(&store, 7, 16);
    let content = read(&store);
    assert!(content.values().all(|samples| samples.len() == 16 * 60));
    let report = store.report().unwrap();
    assert!(report.blocks.iter().all(|block| block.disk_bytes > 0) && report.log_disk_bytes > 0);
    drop(store);
    let store = Store::open(dir.path(), settings, now_ms).unwrap();
    assert_eq!(read(&store), content);
    assert_eq!(store.report().unwrap().damage, BTreeMap::new());
    // A folder without a marker is an unfinished block, one without a log a block that is taken up.
    drop(store);
    std::fs::create_dir(dir.path().join("blocks/00000000000000ff")).unwrap();
    let store = Store::open(dir.path(), settings, now_ms).unwrap();
    assert!(!dir.path().join("blocks/00000000000000ff").exists());
    let blocks = store.report().unwrap().blocks.len();
    drop(store);
    std::fs::write(dir.path().join("hot/snap.7FFFFFFFFFFFFF00"), "no such thing").unwrap();
    let store = Store::open(dir.path(), settings, now_ms).unwrap();
    let report = store.report().unwrap();
    assert_eq!(report.blocks.len(), blocks);
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    assert_eq!(read(&store).len(), 7);
}

#[test]
fn a_block_whose_folder_is_gone_is_told_with_what_it_held() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    fill(&store, 3, 5);
    let block = store.report().unwrap().blocks[0].block;
    drop(store);
    disk.remove_block(block).unwrap();
    let store = open(&disk, START_MS);
    let report = store.report().unwrap();
    let lost = report.damage.values().next().unwrap();
    assert!(lost.contains("360 samples of 3 series"), "{lost}");
}

#[test]
fn a_log_that_lost_its_end_is_told_and_blocks_without_markers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { reserve_bytes: 0, ..lasting() };
    let store = Store::open(dir.path(), settings, START_MS).unwrap();
    let now_ms = fill(&store, 7, 6);
    let (content, report) = (read(&store), store.report().unwrap());
    assert!(report.damage.is_empty() && !report.blocks.is_empty());
    drop(store);
    // Nothing is missed after an orderly end.
    assert!(Store::open(dir.path(), settings, now_ms).unwrap().report().unwrap().damage.is_empty());
    let log = dir.path().join("hot/db");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[2000..].iter_mut().for_each(|byte| *byte ^= 0xff);
    std::fs::write(&log, bytes).unwrap();
    let store = Store::open(dir.path(), settings, now_ms).unwrap();
    let after = store.report().unwrap();
    assert!(!after.damage.is_empty(), "what the log lost is told");
    assert_eq!(after.blocks.len(), report.blocks.len(), "{:?}", after.damage);
    let left = read(&store);
    assert!(left.iter().all(|(labels, samples)| {
        samples.len() >= 2 * 60 && samples.iter().all(|(time, bits)| content[labels][time] == *bits)
    }));
    assert!(!store.check(true).unwrap().losses.is_empty());
    drop(store);
    assert!(Store::open(dir.path(), settings, now_ms).unwrap().check(false).unwrap().losses.is_empty());
}

#[test]
fn a_whole_block_without_a_marker_is_taken_up() {
    let disk = MemoryDisk::default();
    let store = open(&disk, START_MS);
    fill(&store, 3, 5);
    let (content, before) = (read(&store), store.report().unwrap().blocks.len());
    drop(store);
    let markers: Vec<Write> = disk_keys(&disk, log::KIND_BLOCK).into_iter().map(Write::Remove).collect();
    assert_eq!(markers.len(), before);
    disk.write(&markers).unwrap();
    let store = open(&disk, START_MS);
    assert_eq!((read(&store), store.report().unwrap().blocks.len()), (content, before));
}

fn disk_keys(disk: &MemoryDisk, kind: u8) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    disk.scan(&[kind], &mut |key, _| keys.push(key.to_vec())).unwrap();
    keys
}

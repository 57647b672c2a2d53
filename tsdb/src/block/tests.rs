use std::sync::Arc;

use super::builder::BlockBuilder;
use super::reader::Block;
use crate::disk::Disk;
use crate::disk::memory::MemoryDisk;
use crate::matchers::{compile, select};
use crate::series::{MatchOp, Matcher, Point};

const SERIES: u32 = 3000;

/// Samples whose bits no encoder can shorten, so that a block has several values.
fn points(series: u32, count: u32) -> Vec<Point> {
    let noise = |at: u32| {
        let mixed = (u64::from(series) << 32 | u64::from(at)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        f64::from_bits((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 2)
    };
    (0..count).map(|at| Point { timestamp_ms: i64::from(at) * 1000, value: noise(at) }).collect()
}

fn labels(series: u32) -> Vec<(String, String)> {
    vec![
        ("__name__".to_owned(), format!("metric_{:02}", series / 100)),
        ("parity".to_owned(), (series % 2).to_string()),
        ("pod".to_owned(), format!("pod-{series:05}")),
    ]
}

fn build(disk: &MemoryDisk, count: impl Fn(u32) -> u32) -> Block {
    let mut builder = BlockBuilder::new(disk.create_block(1).unwrap(), 1);
    for series in 0..SERIES {
        let labels = labels(series);
        let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        builder.add(pairs, &points(series, count(series))).unwrap();
    }
    let meta = builder.finish().unwrap();
    let block = Block::open(disk.open_block(1).unwrap()).unwrap();
    assert_eq!(block.meta(), &meta);
    block
}

fn read(block: &Block, series: &[u32], start_ms: i64, end_ms: i64) -> Vec<(u32, Vec<Point>)> {
    let mut found = Vec::new();
    block
        .samples(series, start_ms, end_ms, |series, points| {
            found.push((series, points));
            true
        })
        .unwrap();
    found
}

#[test]
fn series_are_found_by_labels_and_read_in_ranges() {
    let block = build(&MemoryDisk::default(), |series| if series == 1500 { 40_000 } else { 20 });
    assert!(block.verify().unwrap());
    let find = |name: &str, op, value: &str| {
        let matcher = Matcher { name: name.to_owned(), op, value: value.to_owned() };
        select(&block, &compile(&[matcher]).unwrap()).unwrap()
    };
    assert_eq!(find("__name__", MatchOp::Equal, "metric_07"), (700..800).collect::<Vec<_>>());
    assert_eq!(find("pod", MatchOp::Equal, "pod-02999"), [2999]);
    assert_eq!(find("pod", MatchOp::Equal, "pod-03000"), [] as [u32; 0]);
    assert_eq!(find("parity", MatchOp::NotEqual, "0").len(), 1500);
    assert_eq!(find("parity", MatchOp::Matches, "[01]").len(), 3000);
    assert_eq!(find("pod", MatchOp::Matches, "pod-0000[1-3]"), [1, 2, 3]);
    assert_eq!(find("none", MatchOp::Equal, "").len(), 3000);
    let everything: Vec<u32> = (0..SERIES).collect();
    let found = read(&block, &everything, i64::MIN, i64::MAX);
    assert_eq!(found.len(), 3000);
    assert!(found.iter().all(|(series, have)| have == &points(*series, have.len() as u32)));
    // One whose chunks fill several values, its neighbours, and one far behind.
    let found = read(&block, &[1499, 1500, 1501, 2999], 5_000, 30_000_000);
    let counts: Vec<(u32, usize)> = found.iter().map(|(series, points)| (*series, points.len())).collect();
    assert_eq!(counts, [(1499, 15), (1500, 29_996), (1501, 15), (2999, 15)]);
    assert!(read(&block, &[7], 20_000, 30_000).is_empty());
    let mut names = Vec::new();
    block
        .labels(&[0, 2999], |series, pairs| names.push((series, pairs.len(), pairs[2].1.to_owned())))
        .unwrap();
    assert_eq!(names, [(0, 3, "pod-00000".to_owned()), (2999, 3, "pod-02999".to_owned())]);
}

#[test]
fn a_damaged_value_costs_its_series_only() {
    let disk = MemoryDisk::default();
    drop(build(&disk, |_| 100));
    let mut chunk_values = 0;
    assert!(disk.damage(Some(1), |key| {
        chunk_values += u32::from(key[0] == super::KIND_CHUNKS);
        chunk_values == 2
    }));
    let block = Block::open(disk.open_block(1).unwrap()).unwrap();
    let everything: Vec<u32> = (0..SERIES).collect();
    let found = read(&block, &everything, i64::MIN, i64::MAX);
    assert!((2000..3000).contains(&found.len()), "{}", found.len());
    assert!(found.iter().all(|(series, have)| have == &points(*series, 100)));
    assert_eq!(block.damage().len(), 1);
    assert!(!block.verify().unwrap());
}

/// Times of one of fifty containers, taken at moments of its own.
fn moments(container: u32, count: u32) -> Vec<i64> {
    (0..count)
        .map(|at| {
            let mixed = (u64::from(container) << 32 | u64::from(at)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            i64::from(at) * 15_000 + (mixed >> 50) as i64 % 3_000
        })
        .collect()
}

/// Twenty metrics of fifty containers: what each container says of itself has the same times.
fn build_of_containers(disk: &MemoryDisk, count: u32) -> super::meta::BlockMeta {
    let mut builder = BlockBuilder::new(disk.create_block(1).unwrap(), 1);
    for series in 0..1000 {
        let (metric, container) = (format!("metric_{:02}", series / 50), format!("{:02}", series % 50));
        let labels = [("__name__", metric.as_str()), ("container", container.as_str())];
        builder.add(labels.into_iter(), &points_of_container(series, count)).unwrap();
    }
    builder.finish().unwrap()
}

fn points_of_container(series: u32, count: u32) -> Vec<Point> {
    let times = moments(series % 50, count).into_iter().zip(0..);
    times.map(|(timestamp_ms, at)| Point { timestamp_ms, value: f64::from(series + at) }).collect()
}

#[test]
fn series_that_were_taken_together_share_their_times() {
    let disk = MemoryDisk::default();
    let meta = build_of_containers(&disk, 2000);
    let block = Block::open(disk.open_block(1).unwrap()).unwrap();
    assert_eq!(block.meta(), &meta);
    assert!(block.verify().unwrap());
    // Twelve bits of chance in each time; the twenty metrics have them twice, in the first one and for all others.
    assert!(meta.chunk_bytes < meta.samples / 3, "{meta:?}");
    let everything: Vec<u32> = (0..1000).collect();
    let found = read(&block, &everything, i64::MIN, i64::MAX);
    assert_eq!(found.len(), 1000);
    assert!(found.iter().all(|(series, have)| have == &points_of_container(*series, 2000)));
    let (start_ms, end_ms) = (9_000_000, 21_000_000);
    for (series, have) in read(&block, &[3, 777, 999], start_ms, end_ms) {
        let mut expected = points_of_container(series, 2000);
        expected.retain(|point| (start_ms..=end_ms).contains(&point.timestamp_ms));
        assert_eq!(have, expected, "{series}");
    }
    assert!(block.damage().is_empty());
}

#[test]
fn lost_times_cost_those_who_share_them() {
    let disk = MemoryDisk::default();
    build_of_containers(&disk, 2000);
    assert!(disk.damage(Some(1), |key| key[0] == super::KIND_TIMES));
    let block = Block::open(disk.open_block(1).unwrap()).unwrap();
    let everything: Vec<u32> = (0..1000).collect();
    let found = read(&block, &everything, i64::MIN, i64::MAX);
    // The first metric has times of its own, others those of values that are sound.
    assert!((50..1000).contains(&found.len()), "{}", found.len());
    let whole = |(series, have): &(u32, Vec<Point>)| {
        let all = points_of_container(*series, 2000);
        have.iter().all(|point| all.contains(point))
    };
    assert!(found.iter().all(whole));
    let damage = block.damage();
    assert!(damage.iter().any(|lost| lost.contains("times from number 0 on")), "{damage:?}");
    assert!(!block.verify().unwrap());
}

#[test]
fn a_program_that_knows_nothing_of_shared_times_refuses_the_block() {
    let version = |count, shared| {
        let disk = MemoryDisk::default();
        if shared {
            build_of_containers(&disk, count);
        } else {
            drop(build(&disk, |_| count));
        }
        let value = disk.open_block(1).unwrap().get(&super::key(super::KIND_META, 0)).unwrap();
        value.unwrap()[0]
    };
    assert_eq!((version(20, false), version(200, true)), (1, 2));
}

#[test]
fn a_label_that_every_series_has_makes_a_long_list() {
    // More than one part of a list: numbers of one byte each, so the list is as long as the series are many.
    let disk = MemoryDisk::default();
    let mut builder = BlockBuilder::new(disk.create_block(1).unwrap(), 1);
    let point = [Point { timestamp_ms: 0, value: 1.0 }];
    for series in 0..120_000u32 {
        let pod = format!("{series:06}");
        builder.add([("job", "all"), ("pod", pod.as_str())].into_iter(), &point).unwrap();
    }
    builder.finish().unwrap();
    let block = Arc::new(Block::open(disk.open_block(1).unwrap()).unwrap());
    let matcher = Matcher { name: "job".to_owned(), op: MatchOp::Equal, value: "all".to_owned() };
    let found = select(&*block, &compile(&[matcher]).unwrap()).unwrap();
    assert_eq!(found, (0..120_000).collect::<Vec<_>>());
    let matcher = Matcher { name: "job".to_owned(), op: MatchOp::Matches, value: "a.*".to_owned() };
    assert_eq!(select(&*block, &compile(&[matcher]).unwrap()).unwrap().len(), 120_000);
}

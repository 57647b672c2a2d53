use proptest::prelude::*;

use super::xor::XorChunk;
use super::*;
use crate::series::STALE_NAN_BITS;

const START_MS: i64 = 1_760_000_000_000;

fn bits(points: &[Point]) -> Vec<(i64, u64)> {
    points.iter().map(|point| (point.timestamp_ms, point.value.to_bits())).collect()
}

fn check(points: &[Point]) -> usize {
    let bytes = encode(points);
    let mut read = Vec::new();
    decode_into(&bytes, &mut read).unwrap();
    assert_eq!(bits(&read), bits(points));
    for (from, to) in [
        (points.len() / 3, points.len() * 2 / 3),
        (0, points.len() / 2),
        (points.len() / 2, points.len() - 1),
    ] {
        let range = points[from].timestamp_ms..=points[to].timestamp_ms;
        let mut read = vec![points[0]];
        decode_range_into(&bytes, &range, &mut read).unwrap();
        assert_eq!(bits(&read[1..]), bits(&points[from..=to]));
        // Between two samples, and beside all.
        let (before, behind) = (range.start().saturating_sub(1), range.end().saturating_add(1));
        for (start, end) in [(before, before), (behind, i64::MAX), (i64::MIN, behind)] {
            let mut read = Vec::new();
            decode_range_into(&bytes, &(start..=end), &mut read).unwrap();
            let inside = points.iter().filter(|point| (start..=end).contains(&point.timestamp_ms)).copied();
            assert_eq!(bits(&read), bits(&inside.collect::<Vec<_>>()));
        }
    }
    let mut open = XorChunk::new(points[0]);
    points[1..].iter().for_each(|&point| open.push(point));
    let mut read = Vec::new();
    open.read_into(i64::MIN, i64::MAX, &mut read);
    assert_eq!(bits(&read), bits(points));
    let (from, to) = (points.len() / 3, points.len() * 2 / 3);
    let mut read = Vec::new();
    open.read_into(points[from].timestamp_ms, points[to].timestamp_ms, &mut read);
    assert_eq!(bits(&read), bits(&points[from..=to]));
    let mut read = Vec::new();
    xor::decode_into(&open.to_bytes(), &mut read).unwrap();
    assert_eq!(bits(&read), bits(points));
    bytes.len()
}

fn regular(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
    let times = (0..).map(|index| START_MS + index * 15_000);
    times.zip(values).map(|(timestamp_ms, value)| Point { timestamp_ms, value }).collect()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<i32>().prop_map(f64::from),
        4 => any::<i16>().prop_map(|value| f64::from(value) / 100.0),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => Just(9_007_199_254_740_992.0),
        2 => Just(0.0),
    ]
}

/// Values of one kind each, as series are, and mixtures.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let length = 1usize..300;
    prop_oneof![
        prop::collection::vec(value(), length.clone()),
        (value(), length.clone()).prop_map(|(value, count)| vec![value; count]),
        prop::collection::vec(0u32..1000, length.clone()).prop_map(|steps| {
            let sums = steps.into_iter().scan(0u64, |sum, step| {
                *sum += u64::from(step) * 4096;
                Some(*sum as f64)
            });
            sums.collect()
        }),
        prop::collection::vec(any::<f64>(), length),
    ]
}

fn steps_ms() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(15_000i64), 2 => 14_990i64..15_010, 1 => 1i64..100_000, 1 => 1i64..(1 << 45)]
}

proptest! {
    #[test]
    fn samples_come_back_bit_for_bit(values in values(), steps in prop::collection::vec(steps_ms(), 300), start in -(1i64 << 50)..(1i64 << 50)) {
        let mut timestamp_ms = start;
        let points: Vec<Point> = values.into_iter().zip(steps).map(|(value, step)| {
            timestamp_ms += step;
            Point { timestamp_ms, value }
        }).collect();
        check(&points);
    }

    #[test]
    fn foreign_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..4) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let mut points = Vec::new();
        if decode_into(&bytes, &mut points).is_ok() {
            prop_assert!(points.windows(2).all(|pair| pair[0].timestamp_ms < pair[1].timestamp_ms));
        }
    }

    #[test]
    fn damaged_chunks_do_no_harm(values in values(), at: prop::sample::Index, flip in 1u8..=255) {
        let mut bytes = encode(&regular(values));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = decode_into(&bytes, &mut Vec::new());
    }
}

#[test]
fn what_does_not_change_costs_nothing_per_sample() {
    assert!(check(&regular(vec![0.0; 480])) <= 18);
    assert!(check(&regular(vec![f64::from_bits(STALE_NAN_BITS); 480])) <= 26);
    assert!(check(&regular((0..480).map(|index| f64::from(index) * 7.0))) <= 24);
    // A counter that grows by 0 to 99: 6.6 bits a sample could do, and none of them is a sign.
    let grown = (0..480u32).scan(0.0, |sum, index| {
        *sum += f64::from(index * 7919 % 100);
        Some(*sum)
    });
    assert!(check(&regular(grown)) <= 480 * 7 / 8 + 24);
}

#[test]
fn a_marker_at_the_end_does_not_spoil_the_decimals_before_it() {
    let values = (0..479).map(|index| f64::from(index * index % 97) / 100.0);
    let without = check(&regular(values.clone()));
    let with = check(&regular(values.chain([f64::from_bits(STALE_NAN_BITS)])));
    assert!(with <= without + 16, "{without} became {with} bytes");
}

#[test]
fn a_common_factor_is_taken_out() {
    let pages = (0..480u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as f64);
    let small = check(&regular(pages.clone()));
    let large = check(&regular(pages.map(|value| value * 4096.0)));
    assert!(large <= small + 4, "{small} became {large} bytes");
}

#[test]
fn one_sample_and_extreme_times() {
    for timestamp_ms in [0, -1, i64::MAX, i64::MIN] {
        check(&[Point { timestamp_ms, value: 1.5 }]);
    }
    check(&[Point { timestamp_ms: 0, value: 1.0 }, Point { timestamp_ms: i64::MAX, value: 2.0 }]);
}

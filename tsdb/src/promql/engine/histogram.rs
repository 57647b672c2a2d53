//! Classic histograms: series whose label `le` is the upper bound of a bucket and whose value counts everything up to it.

use std::ops::Range;

use super::matrix::{Matrix, is_present};
use crate::promql::annotations::Annotations;
use crate::promql::labelset::{Labelset, Numbering};
use crate::promql::number::parse_float;
use crate::series::METRIC_NAME;

/// The label with a bucket's upper bound.
const BOUND: &str = "le";

/// Counts of neighbours that differ by less are the same (relative).
const TOLERANCE: f64 = 1e-12;

/// The series of one histogram.
struct Histogram {
    head: Labelset,
    /// Upper bound and row, by bound.
    buckets: Vec<(f64, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// Gathers buckets into histograms, in order of their first bucket.
fn gather(matrix: &Matrix, span: &Range<usize>, annotations: &mut Annotations) -> Vec<Histogram> {
    let mut histograms: Vec<Histogram> = Vec::new();
    let mut numbering = Numbering::default();
    for (row, head) in matrix.heads.iter().enumerate() {
        // Rows without values are what a comparison left.
        if !matrix.row(row).iter().copied().any(is_present) {
            continue;
        }
        let bound = head.get(BOUND);
        let Some(upper) = parse_float(bound) else {
            annotations.bucket_label(head.get(METRIC_NAME), bound, span);
            continue;
        };
        let mut rest = Labelset::from_pairs(head.iter().filter(|(name, _)| *name != BOUND));
        rest.drop_later = head.drop_later;
        let same = |number: usize| histograms[number].head.same(&rest);
        let (number, new) = numbering.find_or(rest.hash(), histograms.len(), same);
        if new {
            histograms.push(Histogram { head: rest, buckets: Vec::new() });
        }
        histograms[number].buckets.push((upper, row));
    }
    for histogram in &mut histograms {
        histogram.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    histograms
}

/// The buckets that have a value at a step, those of the same bound added up.
fn at_step(histogram: &Histogram, matrix: &Matrix, step: usize) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::with_capacity(histogram.buckets.len());
    for (upper, row) in &histogram.buckets {
        let count = matrix.row(*row)[step];
        if !is_present(count) {
            continue;
        }
        match buckets.last_mut() {
            Some(last) if last.upper == *upper => last.count += count,
            _ => buckets.push(Bucket { upper: *upper, count }),
        }
    }
    buckets
}

/// `histogram_quantile`, with names still on.
pub(super) fn quantiles(
    matrix: &Matrix,
    quantiles: &[f64],
    spans: (&Range<usize>, &Range<usize>),
    annotations: &mut Annotations,
) -> Matrix {
    for quantile in quantiles.iter().filter(|value| !(0.0..=1.0).contains(*value)) {
        annotations.quantile(*quantile, spans.0);
    }
    let mut out = Matrix::new(matrix.steps);
    for histogram in gather(matrix, spans.1, annotations) {
        let mut forced = false;
        let row = out.push(histogram.head.clone());
        for (step, value) in row.iter_mut().enumerate() {
            let mut buckets = at_step(&histogram, matrix, step);
            if !buckets.is_empty() {
                let (result, forced_here) = quantile(quantiles[step], &mut buckets);
                *value = result;
                forced |= forced_here;
            }
        }
        if forced {
            annotations.forced_monotonicity(histogram.head.get(METRIC_NAME), spans.1);
        }
        out.drop_if_empty();
    }
    out
}

/// `histogram_fraction`, with names still on.
pub(super) fn fractions(
    matrix: &Matrix,
    lower: &[f64],
    upper: &[f64],
    span: &Range<usize>,
    annotations: &mut Annotations,
) -> Matrix {
    let mut out = Matrix::new(matrix.steps);
    for histogram in gather(matrix, span, annotations) {
        let row = out.push(histogram.head.clone());
        for (step, value) in row.iter_mut().enumerate() {
            let buckets = at_step(&histogram, matrix, step);
            if !buckets.is_empty() {
                *value = fraction(lower[step], upper[step], &buckets);
            }
        }
        out.drop_if_empty();
    }
    out
}

/// The quantile, and whether counts that fell had to be raised.
fn quantile(quantile: f64, buckets: &mut [Bucket]) -> (f64, bool) {
    if quantile.is_nan() {
        return (f64::NAN, false);
    }
    if quantile < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if quantile > 1.0 {
        return (f64::INFINITY, false);
    }
    let last = buckets.len() - 1;
    if buckets[last].upper != f64::INFINITY {
        return (f64::NAN, false);
    }
    let forced = raise(buckets);
    let observations = buckets[last].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, false);
    }
    let rank = quantile * observations;
    // What is no number is below every rank, and a rank that is none above every count.
    let is_below = |bucket: &Bucket| bucket.count < rank || bucket.count.is_nan() || rank.is_nan();
    let found = buckets[..last].partition_point(is_below);
    if found == last {
        return (buckets[last - 1].upper, forced);
    }
    if found == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let below = if found > 0 { buckets[found - 1] } else { Bucket { upper: 0.0, count: 0.0 } };
    let Bucket { upper, count } = buckets[found];
    let share = (rank - below.count) / (count - below.count);
    (below.upper + (upper - below.upper) * share, forced)
}

/// Counts never fall: what does is raised, silently when the difference is noise.
fn raise(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == before {
            continue;
        }
        if almost_equal(before, bucket.count) {
            bucket.count = before;
        } else if bucket.count < before {
            bucket.count = before;
            forced = true;
        } else {
            before = bucket.count;
        }
    }
    forced
}

fn almost_equal(left: f64, right: f64) -> bool {
    if left.is_nan() && right.is_nan() {
        return true;
    }
    let sum = left.abs() + right.abs();
    let difference = (left - right).abs();
    if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The share of observations between two bounds.
fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets[buckets.len() - 1];
    if last.upper != f64::INFINITY || last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let count_below = |limit: f64| {
        let mut below = Bucket { upper: f64::NEG_INFINITY, count: 0.0 };
        for bucket in buckets {
            if below.upper >= limit {
                return below.count;
            }
            if bucket.upper > limit {
                let share = (limit - below.upper) / (bucket.upper - below.upper);
                return below.count + (bucket.count - below.count) * share;
            }
            below = *bucket;
        }
        last.count
    };
    let (lower_count, upper_count) = (count_below(lower), count_below(upper));
    let cap = |count: f64| if count > last.count { last.count } else { count };
    (cap(upper_count) - cap(lower_count)) / last.count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn interpolated_within_the_bucket() {
        let all = buckets(&[(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)]);
        assert_eq!(quantile(0.5, &mut all.clone()), (1.0, false));
        assert_eq!(quantile(0.75, &mut all.clone()), (1.5, false));
        assert_eq!(quantile(0.25, &mut all.clone()), (0.5, false));
        assert!(quantile(0.5, &mut all[..2].to_vec()).0.is_nan());
        assert_eq!(
            fraction(0.5, 1.5, &buckets(&[(0.0, 0.0), (1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)])),
            0.5
        );
    }

    #[test]
    fn falling_counts_are_raised() {
        let mut all = buckets(&[(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 20.0)]);
        assert_eq!(quantile(0.5, &mut all), (1.0, true));
        let noise = 10.0 - 1e-14;
        let mut all = buckets(&[(1.0, 10.0), (2.0, noise), (f64::INFINITY, 20.0)]);
        assert!(!quantile(0.5, &mut all).1);
    }
}

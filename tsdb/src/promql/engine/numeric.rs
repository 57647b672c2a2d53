//! Sums, means, quantiles and lines, to the last bit as Prometheus computes them.

use crate::series::Point;

/// A sum with its compensation (Kahan and Neumaier).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub sum: f64,
    pub compensation: f64,
}

impl Sum {
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// Adds all that another one has added.
    pub fn join(&mut self, other: Sum) {
        self.add(other.sum);
        self.compensation += other.compensation;
    }

    pub fn total(self) -> f64 {
        self.sum + self.compensation
    }
}

/// A mean: of a sum, until that would overflow; from then on by weighted steps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub fn first(value: f64) -> Mean {
        Mean { sum: Sum { sum: value, compensation: 0.0 }, count: 1.0, incremental: false }
    }

    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.compensation /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum.sum *= weight;
        self.sum.compensation *= weight;
        self.sum.add(value / self.count);
    }

    /// The mean of its values and those of another one.
    pub fn join(&mut self, other: Mean) {
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let mut sum = self.sum;
            sum.join(other.sum);
            if !sum.sum.is_infinite() {
                *self = Mean { sum, count, incremental: false };
                return;
            }
        }
        let mut sum = Sum { sum: self.get() * (self.count / count), compensation: 0.0 };
        sum.add(other.get() * (other.count / count));
        *self = Mean { sum, count, incremental: true };
    }

    pub fn get(self) -> f64 {
        if self.incremental {
            return self.sum.total();
        }
        self.sum.sum / self.count + self.sum.compensation / self.count
    }
}

/// The quantile of values, interpolated; they are sorted on the way, NaN first.
pub(super) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(nan_first);
    let last = (values.len() - 1) as f64;
    let rank = quantile * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// Order of values with NaN before all.
pub(super) fn nan_first(left: &f64, right: &f64) -> std::cmp::Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// Slope per second and value at a time, of the line with the least squares through points.
pub(super) fn line(points: &[Point], at_ms: i64) -> (f64, f64) {
    let first = points[0].value;
    if points.iter().all(|point| point.value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for point in points {
        let x = (point.timestamp_ms - at_ms) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(point.value);
        xy_sum.add(x * point.value);
        xx_sum.add(x * x);
    }
    let count = points.len() as f64;
    let (x, y, xy, xx) = (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

/// The variance of a population; not a number for none.
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cancels_is_not_lost() {
        let mut sum = Sum::default();
        [1e16, 1.0, -1e16].into_iter().for_each(|value| sum.add(value));
        assert_eq!(sum.total(), 1.0);
    }

    #[test]
    fn means_of_huge_values_are_finite() {
        let mut mean = Mean::first(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.get(), f64::MAX);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(1.0, &mut [3.0, f64::NAN, 1.0]), 3.0);
        assert!(quantile(0.5, &mut []).is_nan() && quantile(f64::NAN, &mut [1.0]).is_nan());
        assert_eq!(
            (quantile(-1.0, &mut [1.0]), quantile(2.0, &mut [1.0])),
            (f64::NEG_INFINITY, f64::INFINITY)
        );
    }
}

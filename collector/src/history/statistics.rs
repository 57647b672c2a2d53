//! A window of samples as a few numbers. Pure.
//!
//! Averages weigh each sample with the time since the sweep before it, so that of CPU is what the window used divided by its
//! length. Quantiles are by nearest rank over the samples: the smallest value that at least that share of them does not
//! exceed.

/// A value and the time it stands for, milliseconds.
pub type Weighted = (u64, u64);

/// Some numbers of a window, in the values' unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Samples that had the value.
    pub samples: usize,
    /// Average.
    pub average: u64,
    /// Greatest.
    pub max: u64,
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
}

impl Statistics {
    /// Of values in any order, which are then sorted; `None` of none.
    pub fn of(values: &mut [Weighted]) -> Option<Statistics> {
        values.sort_unstable();
        let (max, _) = *values.last()?;
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).max(1) - 1;
        let at = |percent| values.get(rank(percent)).map_or(max, |(value, _)| *value);
        Some(Statistics {
            samples: values.len(),
            average: average(values)?,
            max,
            p50: at(50),
            p95: at(95),
            p99: at(99),
        })
    }
}

/// Weighted average, rounded; `None` of nothing.
pub fn average(values: &[Weighted]) -> Option<u64> {
    let weights: u128 = values.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let sum: u128 = values.iter().map(|(value, weight)| u128::from(*value) * u128::from(*weight)).sum();
    u64::try_from((sum + weights / 2).checked_div(weights)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_example() {
        let of = |values: &[Weighted]| Statistics::of(&mut values.to_vec());
        assert_eq!(of(&[]), None);
        let one = Statistics { samples: 1, average: 7, max: 7, p50: 7, p95: 7, p99: 7 };
        assert_eq!(of(&[(7, 1_000)]), Some(one));
        let hundred: Vec<Weighted> = (1..=100).rev().map(|value| (value, 10)).collect();
        let expected = Statistics { samples: 100, average: 51, max: 100, p50: 50, p95: 95, p99: 99 };
        assert_eq!(of(&hundred), Some(expected));
        assert_eq!(of(&[(0, 1_000), (90, 9_000)]).map(|s| s.average), Some(81), "by time");
    }

    proptest! {
        #[test]
        fn they_are_in_order_and_within(mut values in prop::collection::vec((any::<u64>(), 1_u64..100_000), 1..200)) {
            let s = Statistics::of(&mut values).unwrap();
            prop_assert!(s.p50 <= s.p95 && s.p95 <= s.p99 && s.p99 <= s.max);
            let least = values[0].0;
            prop_assert!(least <= s.p50 && least <= s.average && s.average <= s.max);
        }
    }
}

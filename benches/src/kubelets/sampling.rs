//! When a kubelet looks at its containers.

use std::time::Duration;

/// The moments whose readings a kubelet serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// The moment of the request.
    Continuous,
    /// Every `period`, as real kubelets do (about 10 s); requests get the last of these moments.
    Every {
        /// Time between two looks.
        period: Duration,
        /// Whether each node has a phase of its own, spread evenly; else all look at whole multiples of the period.
        spread: bool,
    },
}

impl Sampling {
    /// The moment served at `now_ms` by node `index` of `nodes`, Unix milliseconds.
    #[must_use]
    pub fn moment(self, now_ms: i64, index: usize, nodes: usize) -> i64 {
        let Self::Every { period, spread } = self else { return now_ms };
        let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
        let (index, nodes) = (i64::try_from(index).unwrap_or(0), i64::try_from(nodes).unwrap_or(1).max(1));
        let phase_ms = if spread { period_ms.saturating_mul(index) / nodes } else { 0 };
        now_ms - (now_ms - phase_ms).rem_euclid(period_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_phase() {
        let sampling = Sampling::Every { period: Duration::from_secs(10), spread: true };
        let moments: Vec<_> = (0..4).map(|index| sampling.moment(100_000, index, 4)).collect();
        assert_eq!(moments, [100_000, 92_500, 95_000, 97_500]);
        assert_eq!(sampling.moment(102_499, 1, 4), 92_500);
        assert_eq!(sampling.moment(102_500, 1, 4), 102_500);
        assert_eq!(Sampling::Continuous.moment(7, 3, 4), 7);
    }
}

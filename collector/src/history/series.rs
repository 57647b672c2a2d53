//! The samples of one group, oldest first: closed chunks and the one that grows.

use super::chunk::{Chunk, Open, Sample};
use std::collections::VecDeque;

/// The samples of one group.
#[derive(Debug, Clone, Default)]
pub struct Series {
    closed: VecDeque<Chunk>,
    closed_cost_bytes: usize,
    open: Open,
}

impl Series {
    /// Adds the sample of a sweep. Sweeps left out are gaps.
    pub fn push(&mut self, sweep: u64, sample: Sample) {
        let follows = self.open.is_empty() || self.open.end() == sweep;
        if (!follows || self.open.is_full())
            && let Some(chunk) = self.open.close()
        {
            self.closed_cost_bytes += chunk.cost_bytes();
            self.closed.push_back(chunk);
        }
        self.open.push(sweep, sample);
    }

    /// Forgets chunks all of whose samples are of sweeps before `sweep`; how many.
    pub fn forget_before(&mut self, sweep: u64) -> u64 {
        let mut forgotten = 0;
        while let Some(chunk) = self.closed.front().filter(|chunk| chunk.end() <= sweep) {
            self.closed_cost_bytes -= chunk.cost_bytes();
            self.closed.pop_front();
            forgotten += 1;
        }
        if !self.open.is_empty() && self.open.end() <= sweep {
            self.open = Open::default();
            forgotten += 1;
        }
        forgotten
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_empty()
    }

    /// What it costs.
    pub fn cost_bytes(&self) -> usize {
        self.closed_cost_bytes + self.open.cost_bytes()
    }

    /// A copy of the chunks that hold a sample of `sweep` or later.
    pub fn since(&self, sweep: u64) -> Vec<Chunk> {
        let closed = self.closed.iter().filter(|chunk| chunk.end() > sweep).cloned();
        let open = (!self.open.is_empty() && self.open.end() > sweep).then(|| self.open.snapshot());
        closed.chain(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantity::{CpuRate, Pages};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_come_back_and_left_out_sweeps_are_gaps(
            steps in prop::collection::vec((prop_oneof![9 => Just(1_u64), 1 => 2_u64..9], any::<u16>(), any::<bool>()), 1..900),
        ) {
            let (mut series, mut expected, mut sweep) = (Series::default(), Vec::new(), 3);
            for (step, value, present) in steps {
                sweep += step;
                let sample = Sample {
                    cpu: present.then_some(CpuRate(value)),
                    working_set: Some(Pages(u32::from(value) * 3)),
                    rss: None,
                };
                series.push(sweep, sample);
                expected.push((sweep, sample));
            }
            let all: Vec<_> = series.since(0).iter().flat_map(|c| c.iter().collect::<Vec<_>>()).collect();
            prop_assert_eq!(&all, &expected);
            let middle = sweep / 2;
            series.forget_before(middle);
            let left: Vec<_> = series.since(0).iter().flat_map(|c| c.iter().collect::<Vec<_>>()).collect();
            prop_assert!(expected.ends_with(&left));
            prop_assert!(left.len() >= expected.iter().filter(|(at, _)| *at >= middle).count());
        }
    }
}

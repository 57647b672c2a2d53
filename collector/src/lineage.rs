//! CPU time of a family of processes, where no control group accounts it.
//!
//! A container is the processes its runtime names (its roots) and their descendants. Usage is the sum over the live
//! ones of own CPU time (utime + stime) and of that of children they waited for (cutime + cstime): when a child ends,
//! its time moves from its own entry to its parent's, so the sum does not fall.
//!
//! Two guards. A process is a pid *and* a start time, so a reused pid is never taken for the old process; and a
//! process once seen stays a member for as long as it lives, also after its parent's death made it a child of another.
//! Where a child's time is lost (its parent ignores SIGCHLD, or died first), the sum falls; a fall that lasts two
//! sweeps is added back as a constant, so what is reported never goes back and goes on from where it was. A fall of
//! one sweep only is the race between reading a parent and its child, and is waited out.

use std::collections::HashMap;

/// One live process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its parent's.
    pub parent_pid: u32,
    /// Start, ticks since boot.
    pub start_ticks: u64,
    /// utime + stime + cutime + cstime, ticks.
    pub ticks: u64,
}

/// All processes of the machine, as of one pass over /proc.
#[derive(Debug, Clone, Default)]
pub struct ProcessTable {
    by_pid: HashMap<u32, Process>,
    /// (parent, child), sorted.
    children: Vec<(u32, u32)>,
}

impl ProcessTable {
    /// Replaces the contents, keeping buffers.
    pub fn fill(&mut self, processes: impl Iterator<Item = Process>) {
        self.by_pid.clear();
        self.children.clear();
        for process in processes {
            self.by_pid.insert(process.pid, process);
            self.children.push((process.parent_pid, process.pid));
        }
        self.children.sort_unstable();
    }

    /// Number of processes.
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    fn children_of(&self, pid: u32) -> impl Iterator<Item = &Process> {
        let from = self.children.partition_point(|(parent, _)| *parent < pid);
        self.children[from..]
            .iter()
            .take_while(move |(parent, _)| *parent == pid)
            .filter_map(|(_, child)| self.by_pid.get(child))
    }
}

/// What one container's family is known to be.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    /// Roots ever named, with their start times.
    roots: HashMap<u32, u64>,
    /// Live members, with their start times.
    members: HashMap<u32, u64>,
    to_visit: Vec<u32>,
    /// What was lost for good, ticks.
    lost_ticks: u64,
    last_sum_ticks: u64,
    fell: bool,
    seen: bool,
}

impl Lineage {
    /// Brings the family up to date with the runtime's list of roots and the processes alive now.
    ///
    /// Gives the CPU time used so far in ticks, never less than before; `None` until a first member was seen alive.
    pub fn update(&mut self, roots: impl Iterator<Item = u32>, table: &ProcessTable) -> Option<u64> {
        for pid in roots {
            if let Some(process) = table.by_pid.get(&pid) {
                self.roots.entry(pid).or_insert(process.start_ticks);
            }
        }
        self.find_members(table);
        if self.members.is_empty() && !self.seen {
            return None;
        }
        self.seen = true;
        let sum_ticks = self.members.keys().filter_map(|pid| table.by_pid.get(pid)).map(|p| p.ticks).sum();
        Some(self.settle(sum_ticks))
    }

    /// Pids alive at the last update.
    pub fn members(&self) -> impl Iterator<Item = u32> {
        self.members.keys().copied()
    }

    /// Start of the oldest root, ticks since boot.
    pub fn start_ticks(&self) -> Option<u64> {
        self.roots.values().min().copied()
    }

    fn find_members(&mut self, table: &ProcessTable) {
        let alive = |pid: &u32, start: &u64| table.by_pid.get(pid).is_some_and(|p| p.start_ticks == *start);
        self.members.retain(|pid, start| alive(pid, start));
        for (pid, start) in &self.roots {
            if alive(pid, start) {
                self.members.insert(*pid, *start);
            }
        }
        self.to_visit.extend(self.members.keys());
        while let Some(pid) = self.to_visit.pop() {
            let Some(parent_start) = self.members.get(&pid).copied() else { continue };
            for child in table.children_of(pid) {
                // A child older than its parent belongs to an earlier bearer of the pid.
                if child.start_ticks >= parent_start && !self.members.contains_key(&child.pid) {
                    self.members.insert(child.pid, child.start_ticks);
                    self.to_visit.push(child.pid);
                }
            }
        }
    }

    fn settle(&mut self, sum_ticks: u64) -> u64 {
        if sum_ticks >= self.last_sum_ticks {
            self.fell = false;
            self.last_sum_ticks = sum_ticks;
        } else if self.fell {
            self.lost_ticks += self.last_sum_ticks - sum_ticks;
            self.last_sum_ticks = sum_ticks;
            self.fell = false;
        } else {
            self.fell = true;
        }
        self.lost_ticks + self.last_sum_ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(processes: &[(u32, u32, u64, u64)]) -> ProcessTable {
        let mut table = ProcessTable::default();
        table.fill(processes.iter().map(|&(pid, parent_pid, start_ticks, ticks)| Process {
            pid,
            parent_pid,
            start_ticks,
            ticks,
        }));
        table
    }

    fn update(lineage: &mut Lineage, processes: &[(u32, u32, u64, u64)]) -> Option<u64> {
        lineage.update([10].into_iter(), &table(processes))
    }

    #[test]
    fn a_root_and_its_descendants_are_summed() {
        let mut family = Lineage::default();
        let used = update(
            &mut family,
            &[(1, 0, 0, 9), (10, 1, 5, 7), (11, 10, 6, 20), (12, 11, 7, 30), (13, 1, 6, 99)],
        );
        assert_eq!(used, Some(57));
        assert_eq!(family.start_ticks(), Some(5));
        assert_eq!(family.members().count(), 3);
    }

    #[test]
    fn nobody_seen_is_absent_not_zero() {
        assert_eq!(update(&mut Lineage::default(), &[(1, 0, 0, 9)]), None);
    }

    #[test]
    fn a_childs_time_moves_to_its_parent() {
        let mut family = Lineage::default();
        assert_eq!(update(&mut family, &[(10, 1, 5, 7), (11, 10, 6, 20)]), Some(27));
        assert_eq!(update(&mut family, &[(10, 1, 5, 28)]), Some(28));
    }

    #[test]
    fn a_fall_of_one_sweep_is_waited_out() {
        let mut family = Lineage::default();
        assert_eq!(update(&mut family, &[(10, 1, 5, 7), (11, 10, 6, 20)]), Some(27));
        assert_eq!(update(&mut family, &[(10, 1, 5, 7)]), Some(27));
        assert_eq!(update(&mut family, &[(10, 1, 5, 30)]), Some(30));
    }

    #[test]
    fn lost_time_is_added_back_and_growth_goes_on() {
        let mut family = Lineage::default();
        assert_eq!(update(&mut family, &[(10, 1, 5, 7), (11, 10, 6, 100)]), Some(107));
        assert_eq!(update(&mut family, &[(10, 1, 5, 8)]), Some(107));
        assert_eq!(update(&mut family, &[(10, 1, 5, 9)]), Some(107));
        assert_eq!(update(&mut family, &[(10, 1, 5, 15)]), Some(113));
    }

    #[test]
    fn a_reused_pid_is_nobodys_root() {
        let mut family = Lineage::default();
        assert_eq!(update(&mut family, &[(10, 1, 5, 7)]), Some(7));
        assert_eq!(update(&mut family, &[(10, 1, 900, 5_000)]), Some(7));
        assert_eq!(family.members().count(), 0);
    }

    #[test]
    fn an_orphan_stays_in_the_family() {
        let mut family = Lineage::default();
        assert_eq!(update(&mut family, &[(10, 1, 5, 7), (11, 10, 6, 20)]), Some(27));
        update(&mut family, &[(11, 1, 6, 40)]);
        assert_eq!(family.members().collect::<Vec<_>>(), [11]);
    }

    proptest! {
        #[test]
        fn usage_never_goes_back(sweeps in proptest::collection::vec(
            proptest::collection::vec((8u32..14, 8u32..14, 0u64..3, 0u64..1_000), 0..6), 1..20)) {
            let mut family = Lineage::default();
            let mut last = 0;
            for processes in sweeps {
                if let Some(used) = update(&mut family, &processes) {
                    prop_assert!(used >= last);
                    last = used;
                }
            }
        }
    }
}

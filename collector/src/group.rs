//! The counter files of one control group, and how one sweep reads them.

use crate::clock::{Anchor, Clock};
use crate::files::{self, Budget, ReadFault};
use crate::mounts::{CpuFormat, FilePlan};
use crate::parse::{self, Limit, MemoryStat};
use crate::sample::{Cpu, Memory, Swap, working_set_bytes};
use rustix::fd::OwnedFd;

/// Sweeps after which a group is read again although its pod stood still.
const TRUSTED_SWEEPS: u64 = 60;
/// Sweeps after which `memory.stat` and limits are read again although nothing else changed.
pub const SLOW_TIER_SWEEPS: u64 = 10;

/// What all groups of a machine share while a sweep goes on.
pub struct SweepContext<'a> {
    /// Which files there are.
    pub plan: &'a FilePlan,
    /// Mount points, open.
    pub trees: &'a [OwnedFd],
    /// Descriptors that may be kept.
    pub budget: &'a Budget,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Monotonic to wall time.
    pub anchor: Anchor,
    /// Number of the sweep.
    pub sequence: u64,
    /// For the text of files.
    pub buffer: &'a mut [u8],
    /// For the paths of files.
    pub path: &'a mut String,
    /// Receives each fault.
    pub faults: &'a mut dyn FnMut(ReadFault),
}

/// Files of one group. Opened on first use; kept open as far as the budget goes.
#[derive(Debug)]
pub struct GroupFiles {
    /// Path below each mount point, without a leading slash; empty for the root group.
    path: String,
    /// Inode in the first tree; with the path it is the group's identity.
    inode: u64,
    folders: Vec<Option<OwnedFd>>,
    cpu: Option<OwnedFd>,
    memory_usage: Option<OwnedFd>,
    memory_stat: Option<OwnedFd>,
    swap: Option<OwnedFd>,
    last_usage_bytes: Option<u64>,
    last_cpu_ns: Option<u64>,
    /// The last sweep in which CPU or memory usage was another than in the one before, or could not be read.
    changed_sequence: Option<u64>,
    /// The last sweep in which both were read of its own files.
    read_sequence: Option<u64>,
    /// Its memory counts that of the groups in it.
    counts_below: Option<bool>,
    stat: MemoryStat,
    stat_sequence: u64,
    swap_unaccounted: bool,
    swap_limit: Option<u64>,
}

/// One group's values of one sweep.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupValues {
    /// CPU, if its file could be read.
    pub cpu: Option<Cpu>,
    /// Memory, if its usage file could be read.
    pub memory: Option<Memory>,
    /// Swap, if it is accounted.
    pub swap: Option<Swap>,
    /// The group is no more; the values are those read before that showed.
    pub gone: bool,
}

/// What a group's counters say of the groups in it. CPU time and memory are counted in a group and in all above it at once, and
/// nothing in a pod takes memory without using CPU: so as long as both of a pod's stand still, those of its containers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stillness {
    /// The sweep from which on they were the same.
    since_sequence: u64,
    /// When they were read, Unix milliseconds.
    cpu_unix_ms: i64,
    memory_unix_ms: i64,
}

#[derive(Clone, Copy)]
enum Which {
    Cpu,
    MemoryUsage,
    MemoryStat,
    Swap,
}

impl GroupFiles {
    /// A group at a path. Opens nothing.
    pub fn new(path: &str, inode: u64, trees: usize) -> GroupFiles {
        GroupFiles {
            path: path.to_owned(),
            inode,
            folders: (0..trees).map(|_| None).collect(),
            cpu: None,
            memory_usage: None,
            memory_stat: None,
            swap: None,
            last_usage_bytes: None,
            last_cpu_ns: None,
            changed_sequence: None,
            read_sequence: None,
            counts_below: None,
            stat: MemoryStat::default(),
            stat_sequence: 0,
            swap_unaccounted: false,
            swap_limit: None,
        }
    }

    /// Reads the group. A file that cannot be read leaves its value absent and is reported to `faults`.
    pub fn read(&mut self, ctx: &mut SweepContext<'_>) -> GroupValues {
        let mut values = GroupValues::default();
        let t0 = ctx.clock.monotonic_ns();
        let cpu_ns = self.cpu_ns(ctx, &mut values.gone);
        let t1 = ctx.clock.monotonic_ns();
        values.cpu = cpu_ns.map(|usage_ns| Cpu { usage_ns, unix_ms: ctx.anchor.middle_unix_ms(t0, t1) });
        if values.gone {
            self.read_sequence = None;
            return values;
        }
        let usage = ctx
            .plan
            .memory_usage
            .and_then(|(tree, file)| self.number(ctx, Which::MemoryUsage, tree, file, &mut values.gone));
        let t2 = ctx.clock.monotonic_ns();
        let idle = self.is_idle(cpu_ns, usage, ctx.sequence);
        self.read_sequence = cpu_ns.and(usage).map(|_| ctx.sequence);
        let Some(usage_bytes) = usage else { return values };
        self.refresh_stat(ctx, idle, &mut values.gone);
        let unix_ms = ctx.anchor.middle_unix_ms(t1, t2);
        self.put_memory(usage_bytes, unix_ms, &mut values);
        values
    }

    /// As [`GroupFiles::read`], for a group in another: where that one says that nothing moved in here since the last
    /// reading, the values are those of then, and as old as what says so.
    pub fn read_below(&mut self, above: Option<Stillness>, ctx: &mut SweepContext<'_>) -> GroupValues {
        // Groups take turns, so that no sweep reads all of them in any case.
        let turn = |sequence: u64| sequence.wrapping_add(self.inode) / TRUSTED_SWEEPS;
        let trusted = |above: &Stillness| {
            self.read_sequence
                .is_some_and(|read| read >= above.since_sequence && turn(read) == turn(ctx.sequence))
        };
        let (Some(above), Some(usage_ns), Some(usage_bytes)) =
            (above.filter(trusted), self.last_cpu_ns, self.last_usage_bytes)
        else {
            return self.read(ctx);
        };
        let cpu = Some(Cpu { usage_ns, unix_ms: above.cpu_unix_ms });
        let mut values = GroupValues { cpu, ..GroupValues::default() };
        self.refresh_stat(ctx, true, &mut values.gone);
        self.put_memory(usage_bytes, above.memory_unix_ms, &mut values);
        values
    }

    /// As [`GroupFiles::read`], between two sweeps: what moved counts as moved in the next, in which the groups in this one
    /// were not read yet.
    pub fn read_between(&mut self, ctx: &mut SweepContext<'_>) -> GroupValues {
        let values = self.read(ctx);
        if self.changed_sequence == Some(ctx.sequence) {
            self.changed_sequence = Some(ctx.sequence + 1);
        }
        values
    }

    /// What the values just read say of the groups in this one.
    pub fn stillness(&mut self, values: &GroupValues, ctx: &mut SweepContext<'_>) -> Option<Stillness> {
        let (cpu, memory) = values.cpu.zip(values.memory)?;
        let counts_below = self.counts_below.unwrap_or_else(|| match ctx.plan.memory_hierarchy {
            Some((tree, file)) => {
                self.read_once(ctx, tree, file).is_some_and(|text| parse::number(text) == Some(1))
            }
            None => true,
        });
        self.counts_below = Some(counts_below);
        let since_sequence = self.changed_sequence.filter(|_| counts_below)?;
        Some(Stillness { since_sequence, cpu_unix_ms: cpu.unix_ms, memory_unix_ms: memory.unix_ms })
    }

    fn put_memory(&self, usage_bytes: u64, unix_ms: i64, values: &mut GroupValues) {
        let inactive_bytes = self.stat.inactive_file_bytes;
        values.memory = Some(Memory {
            usage_bytes: Some(usage_bytes),
            working_set_bytes: inactive_bytes.map(|inactive| working_set_bytes(usage_bytes, inactive)),
            rss_bytes: self.stat.rss_bytes,
            unix_ms,
        });
        let limit_bytes = self.swap_limit;
        values.swap = self.stat.swap_bytes.map(|usage_bytes| Swap { usage_bytes, limit_bytes, unix_ms });
    }

    /// Whether neither value moved since the sweep before.
    fn is_idle(&mut self, cpu_ns: Option<u64>, usage_bytes: Option<u64>, sequence: u64) -> bool {
        let idle = cpu_ns.is_some()
            && usage_bytes.is_some()
            && self.last_cpu_ns == cpu_ns
            && self.last_usage_bytes == usage_bytes;
        (self.last_cpu_ns, self.last_usage_bytes) = (cpu_ns, usage_bytes);
        if !idle {
            self.changed_sequence = Some(sequence);
        }
        idle
    }

    /// Whether CPU and memory usage stood still in every sweep from `sequence` on; never of a group that no sweep read.
    pub fn is_still_since(&self, sequence: u64) -> bool {
        self.changed_sequence.is_some_and(|changed| changed < sequence)
    }

    /// CPU time alone.
    pub fn cpu_ns(&mut self, ctx: &mut SweepContext<'_>, gone: &mut bool) -> Option<u64> {
        let (tree, file, format) = ctx.plan.cpu?;
        let parse = match format {
            CpuFormat::Nanoseconds => parse::number,
            CpuFormat::Stat => parse::cpu_stat_usage_ns,
        };
        let value = self.with_text(ctx, Which::Cpu, tree, file, gone, parse);
        well_formed(value, ctx)
    }

    /// The text of a file of the group's folder in a tree that is read rarely and never kept.
    pub fn read_once<'b>(&self, ctx: &'b mut SweepContext<'_>, tree: usize, file: &str) -> Option<&'b [u8]> {
        let path = files::join(ctx.path, &self.path, file).ok()?;
        files::read_at(ctx.trees.get(tree)?, path, ctx.buffer).ok()
    }

    /// Path below the mount points.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Inode in the first tree.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Returns its descriptors to the budget.
    pub fn close(&mut self, budget: &Budget) {
        let slots = [&mut self.cpu, &mut self.memory_usage, &mut self.memory_stat, &mut self.swap];
        let files = slots.into_iter().filter_map(Option::take).count();
        let folders = self.folders.iter_mut().filter_map(Option::take).count();
        budget.give_back(files, folders);
    }

    /// `memory.stat` (with the swap files of v2) costs more than the counters together. While neither CPU nor usage moved by a byte nothing in it
    /// can have moved much, so the last one is used again, for at most [`SLOW_TIER_SWEEPS`].
    fn refresh_stat(&mut self, ctx: &mut SweepContext<'_>, idle: bool, gone: &mut bool) {
        let Some((tree, file, keys)) = ctx.plan.memory_stat else { return };
        let age = ctx.sequence.saturating_sub(self.stat_sequence);
        if idle && self.stat.inactive_file_bytes.is_some() && age < SLOW_TIER_SWEEPS {
            return;
        }
        let stat =
            self.with_text(ctx, Which::MemoryStat, tree, file, gone, |text| parse::memory_stat(text, keys));
        self.stat = stat.unwrap_or_default();
        if !*gone {
            self.refresh_swap(ctx, gone);
        }
        if idle {
            // What is read now and then is not worth the memory of an open file.
            self.let_go(ctx.budget, Which::MemoryStat);
            self.let_go(ctx.budget, Which::Swap);
            if self.read_sequence.is_none_or(|read| read < ctx.sequence) {
                self.close(ctx.budget);
            }
        }
        // Groups take turns: their next forced reads are spread by inode.
        let stagger = if self.stat_sequence == 0 { self.inode % SLOW_TIER_SWEEPS } else { 0 };
        self.stat_sequence = ctx.sequence.saturating_sub(stagger);
    }

    /// v2: swap has files of its own, which exist only where it is accounted.
    fn refresh_swap(&mut self, ctx: &mut SweepContext<'_>, gone: &mut bool) {
        let Some((tree, current, max)) = ctx.plan.swap.filter(|_| !self.swap_unaccounted) else { return };
        self.stat.swap_bytes = self.number(ctx, Which::Swap, tree, current, gone);
        if self.stat.swap_bytes.is_none() {
            self.swap_unaccounted = true;
            return;
        }
        self.swap_limit = match self.read_once(ctx, tree, max).and_then(parse::limit) {
            Some(Limit::Bytes(bytes)) => Some(bytes),
            Some(Limit::Unlimited) | None => None,
        };
    }

    fn number(
        &mut self,
        ctx: &mut SweepContext<'_>,
        which: Which,
        tree: usize,
        file: &str,
        gone: &mut bool,
    ) -> Option<u64> {
        let value = self.with_text(ctx, which, tree, file, gone, parse::number);
        well_formed(value, ctx)
    }

    fn let_go(&mut self, budget: &Budget, which: Which) {
        let closed = self.slot(which).take();
        budget.give_back(usize::from(closed.is_some()), 0);
    }

    fn slot(&mut self, which: Which) -> &mut Option<OwnedFd> {
        match which {
            Which::Cpu => &mut self.cpu,
            Which::MemoryUsage => &mut self.memory_usage,
            Which::MemoryStat => &mut self.memory_stat,
            Which::Swap => &mut self.swap,
        }
    }

    fn with_text<T>(
        &mut self,
        ctx: &mut SweepContext<'_>,
        which: Which,
        tree: usize,
        file: &str,
        gone: &mut bool,
        parse: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let text = match self.slot(which) {
            Some(open) => files::read_open(open, ctx.buffer),
            None => self.open_and_read(ctx, which, tree, file),
        };
        match text {
            Ok(text) => Some(parse(text)),
            Err(fault) => {
                *gone = *gone || self.is_gone(ctx, fault);
                if !*gone {
                    (ctx.faults)(fault);
                }
                None
            }
        }
    }

    fn open_and_read<'b>(
        &mut self,
        ctx: &'b mut SweepContext<'_>,
        which: Which,
        tree: usize,
        file: &str,
    ) -> Result<&'b [u8], ReadFault> {
        let (Some(root), Some(folder)) = (ctx.trees.get(tree), self.folders.get_mut(tree)) else {
            return Err(ReadFault::Other);
        };
        // Files are worth a descriptor only where they are read again and again, a folder where they are opened so.
        let each_sweep = match which {
            // Of the machine only CPU time is read.
            Which::Cpu if self.path.is_empty() => true,
            Which::Cpu | Which::MemoryUsage => {
                self.read_sequence.is_some_and(|read| read + 1 == ctx.sequence)
            }
            Which::MemoryStat | Which::Swap => self.stat_sequence + 1 == ctx.sequence,
        };
        let keep = each_sweep && ctx.budget.take_file();
        let keeps_folder = each_sweep && !keep && folder.is_none() && !self.path.is_empty();
        if keeps_folder && ctx.budget.take_folder() {
            *folder = files::open_folder_at(root, &self.path).ok();
            ctx.budget.give_back(0, usize::from(folder.is_none()));
        }
        let opened = match folder {
            Some(folder) => files::open_file_at(folder, file),
            None => files::open_file_at(root, files::join(ctx.path, &self.path, file)?),
        };
        let open = match opened {
            Ok(open) => open,
            Err(errno) => {
                ctx.budget.give_back(usize::from(keep), 0);
                return Err(errno.into());
            }
        };
        if !keep {
            return files::read_open(open, ctx.buffer);
        }
        let slot = self.slot(which).insert(open);
        files::read_open(slot, ctx.buffer)
    }

    /// ENODEV is certain. A missing file can also belong to a group that is only half made, so then the group itself
    /// is looked at.
    fn is_gone(&self, ctx: &SweepContext<'_>, fault: ReadFault) -> bool {
        match (fault, ctx.trees.first()) {
            (ReadFault::Gone, _) => true,
            (ReadFault::Missing, Some(root)) if !self.path.is_empty() => {
                files::inode_and_links(root, &self.path).map_or(true, |(inode, _)| inode != self.inode)
            }
            _ => false,
        }
    }
}

/// The value of a text that could be read; one that holds none is a fault.
fn well_formed<T>(value: Option<Option<T>>, ctx: &mut SweepContext<'_>) -> Option<T> {
    if let Some(None) = value {
        (ctx.faults)(ReadFault::Malformed);
    }
    value.flatten()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test: makes files")]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::mounts::{CgroupMount, Hierarchies};
    use std::path::Path;

    /// A pod and its container on a made-up machine of v1.
    struct Machine {
        folder: tempfile::TempDir,
        plan: FilePlan,
        pod: GroupFiles,
        container: GroupFiles,
    }

    impl Machine {
        fn new() -> Machine {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("pod/app")).unwrap();
            let controllers = ["cpuacct", "memory"].map(str::to_owned).to_vec();
            let mount_point = folder.path().to_owned();
            let mount = CgroupMount { root: "/".to_owned(), mount_point, unified: false, controllers };
            let plan = Hierarchies::settle(&[mount]).unwrap().plan(&[]);
            let (pod, container) = (GroupFiles::new("pod", 7, 1), GroupFiles::new("pod/app", 8, 1));
            let machine = Machine { folder, plan, pod, container };
            machine.write("pod/memory.use_hierarchy", "1\n");
            for group in ["pod", "pod/app"] {
                machine.write(&format!("{group}/memory.stat"), "total_inactive_file 1\n");
                machine.set(group, 100, 50);
            }
            machine
        }

        fn write(&self, file: &str, text: &str) {
            std::fs::write(self.folder.path().join(file), text).unwrap();
        }

        fn set(&self, group: &str, cpu_ns: u64, usage_bytes: u64) {
            self.write(&format!("{group}/cpuacct.usage"), &format!("{cpu_ns}\n"));
            self.write(&format!("{group}/memory.usage_in_bytes"), &format!("{usage_bytes}\n"));
        }

        fn with<T>(
            &mut self,
            sequence: u64,
            make: impl FnOnce(&mut GroupFiles, &mut GroupFiles, &mut SweepContext<'_>) -> T,
        ) -> T {
            let mut ctx = SweepContext {
                plan: &self.plan,
                trees: &[files::open_folder(Path::new(self.folder.path())).unwrap()],
                budget: &Budget::none(),
                clock: &SystemClock,
                anchor: Anchor::now(&SystemClock),
                sequence,
                buffer: &mut [0; 4096],
                path: &mut String::new(),
                faults: &mut |_| {},
            };
            make(&mut self.pod, &mut self.container, &mut ctx)
        }

        /// The container's CPU time and memory in a sweep, and whether its time is the pod's.
        fn sweep(&mut self, sequence: u64) -> (u64, u64, bool) {
            self.with(sequence, |pod, container, ctx| {
                let of_pod = pod.read(ctx);
                let still = pod.stillness(&of_pod, ctx);
                let values = container.read_below(still, ctx);
                let (cpu, memory) = (values.cpu.unwrap(), values.memory.unwrap());
                let same = cpu.unix_ms == of_pod.cpu.unwrap().unix_ms
                    && memory.unix_ms == of_pod.memory.unwrap().unix_ms;
                (cpu.usage_ns, memory.usage_bytes.unwrap(), same)
            })
        }
    }

    #[test]
    fn a_pod_that_stands_still_speaks_for_its_container() {
        let mut machine = Machine::new();
        let read = machine.sweep(1);
        assert_eq!((read.0, read.1), (100, 50));
        // Something no kernel does: the container moves alone. It shows that its files are not read.
        machine.set("pod/app", 101, 51);
        let (cpu_ns, usage_bytes, same) = machine.sweep(2);
        assert_eq!((cpu_ns, usage_bytes, same), (100, 50, true), "not read");
        for (cpu_ns, usage_bytes, sequence) in [(102, 50, 3), (102, 49, 4)] {
            machine.set("pod", cpu_ns, usage_bytes);
            machine.set("pod/app", cpu_ns, usage_bytes);
            let read = machine.sweep(sequence);
            assert_eq!((read.0, read.1), (cpu_ns, usage_bytes), "the pod moved");
        }
        // However still the pod is, the container is read now and then.
        machine.set("pod/app", 103, 48);
        let read_again = (5..=4 + TRUSTED_SWEEPS).find(|sequence| machine.sweep(*sequence).0 == 103);
        assert!(read_again.is_some());
    }

    #[test]
    fn what_moved_between_sweeps_is_read_in_the_next() {
        let mut machine = Machine::new();
        machine.sweep(1);
        machine.set("pod", 200, 60);
        machine.set("pod/app", 200, 60);
        machine.with(1, |pod, _, ctx| assert_eq!(pod.read_between(ctx).cpu.unwrap().usage_ns, 200));
        assert_eq!(machine.sweep(2).0, 200);
    }

    #[test]
    fn a_pod_that_does_not_count_its_containers_says_nothing_of_them() {
        let mut machine = Machine::new();
        machine.write("pod/memory.use_hierarchy", "0\n");
        machine.sweep(1);
        machine.set("pod/app", 101, 51);
        let read = machine.sweep(2);
        assert_eq!((read.0, read.1), (101, 51));
    }

    #[test]
    fn a_container_that_could_not_be_read_is_tried_again() {
        let mut machine = Machine::new();
        let usage = machine.folder.path().join("pod/app/memory.usage_in_bytes");
        std::fs::remove_file(&usage).unwrap();
        machine.with(1, |pod, container, ctx| {
            let of_pod = pod.read(ctx);
            let still = pod.stillness(&of_pod, ctx);
            assert_eq!(container.read_below(still, ctx).memory, None);
        });
        machine.set("pod/app", 100, 50);
        let read = machine.sweep(2);
        assert_eq!((read.0, read.1), (100, 50));
    }
}

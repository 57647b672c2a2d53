//! The slower tier of one group: everything of [`Details`], read every [`SLOW_SWEEPS`] sweeps while the group uses CPU and
//! every [`RARE_SWEEPS`] while it does not; limits every [`RARE_SWEEPS`] in any case. Of a group that stood still since before
//! its last pass, what only its own activity moves is kept and not read ([`Pace::Active`]).
//!
//! Groups take turns by inode, so that no sweep reads all of them, and a new group is read at once. A finished pass
//! replaces the [`Details`] that sweeps hand out; those of the pass before it are filled anew unless someone still
//! holds them, so that nothing is allocated in the steady state.

use crate::cost;
use crate::details::{Details, Interface, MemoryDetails};
use crate::devices;
use crate::files::{self, ReadFault};
use crate::group::{GroupFiles, SweepContext};
use crate::members::{self, Members};
use crate::network;
use crate::node_exporter::memory;
use crate::parse::{self, Limit};
use crate::readers::Pace;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Sweeps between two passes over a group that uses CPU.
pub const SLOW_SWEEPS: u64 = 10;
/// Sweeps between two passes over an idle group, and between two reads of limits.
pub const RARE_SWEEPS: u64 = 60;
/// Sweeps before a pass in which a group must have stood still for its activity to be in that pass: the kernel counts a
/// period of the bandwidth limit up to a second after the group ran in it.
const SETTLE_SWEEPS: u64 = 3;
/// Passes that read limits between two tries of a file that was missing, at most; it begins with one and doubles. Files
/// come when a controller is enabled for a group, which is when it is made.
const MISSING_PASSES: u32 = 16;
/// Most descriptors of a group that are looked at for being sockets; each takes a system call.
const LOOKED_AT_LIMIT: usize = 10_000;
/// Bytes of directory entries taken per system call.
const LISTING_BYTES: usize = 4 * 1024;
/// What the link of a descriptor begins with when it is a socket.
const SOCKET: &[u8; 7] = b"socket:";
/// Name of the limit of descriptors in `/proc/PID/limits`.
const OPEN_FILES: &[u8] = b"Max open files";

/// Whose interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkOf<'a> {
    /// None.
    Nobody,
    /// The group's: it stands for its pod's network.
    Group,
    /// The machine's, in this file below /proc.
    Node(&'a str),
}

/// What is asked of a pass beyond the group's own files.
#[derive(Debug, Clone, Copy)]
pub struct Extras<'a> {
    /// The host's /proc.
    pub proc_root: &'a OwnedFd,
    /// Whose interfaces to read with it.
    pub network: NetworkOf<'a>,
    /// Count descriptors.
    pub descriptors: bool,
    /// Count those that are sockets.
    pub sockets: bool,
    /// Read what is known of whole disks: the group is the machine's.
    pub disks: bool,
    /// Processes in groups below it are its own, too: it is a container.
    pub descends: bool,
}

/// State of the slower tier of a group.
#[derive(Debug)]
pub struct SlowTier {
    details: Arc<Details>,
    spare: Option<Arc<Details>>,
    /// Number of the sweep with the last pass; 0 before it.
    read_sequence: u64,
    /// The same, moved back at the first one so that groups take turns; 0 before it.
    last_sequence: u64,
    /// The same for limits.
    last_rare_sequence: u64,
    last_cpu_ns: Option<u64>,
    /// Passes that read limits.
    rare_passes: u32,
    /// One bit per reader: its file could not be read when it was last tried.
    missing: u64,
}

impl SlowTier {
    /// Nothing read yet.
    pub fn new(huge_page_sizes: &[Arc<str>]) -> SlowTier {
        SlowTier {
            details: Arc::new(Details::new(huge_page_sizes)),
            spare: Some(Arc::new(Details::new(huge_page_sizes))),
            read_sequence: 0,
            last_sequence: 0,
            last_rare_sequence: 0,
            last_cpu_ns: None,
            rare_passes: 0,
            missing: 0,
        }
    }

    /// What the last pass read.
    pub fn details(&self) -> &Arc<Details> {
        &self.details
    }

    /// Whether a pass is due in this sweep, the group's CPU counter being at `cpu_ns`.
    pub fn is_due(&self, sequence: u64, cpu_ns: Option<u64>) -> bool {
        let age = sequence.saturating_sub(self.last_sequence);
        let idle = self.last_cpu_ns.is_some() && self.last_cpu_ns == cpu_ns;
        self.last_sequence == 0 || age >= RARE_SWEEPS || (!idle && age >= SLOW_SWEEPS)
    }

    /// Whether a pass was made in this sweep.
    pub fn has_just_read(&self, sequence: u64) -> bool {
        self.read_sequence == sequence
    }

    /// Makes the next sweep's pass due.
    pub fn hurry(&mut self) {
        self.last_sequence = 0;
    }

    /// One pass. Faults are reported to the context; a missing file is none.
    pub fn read(
        &mut self,
        group: &GroupFiles,
        cpu_ns: Option<u64>,
        extras: Extras<'_>,
        ctx: &mut SweepContext<'_>,
    ) {
        let first = self.last_rare_sequence == 0;
        let rare = first || ctx.sequence.saturating_sub(self.last_rare_sequence) >= RARE_SWEEPS;
        if rare {
            self.rare_passes = self.rare_passes.wrapping_add(1);
        }
        let missing =
            rare && (self.rare_passes.is_power_of_two() || self.rare_passes.is_multiple_of(MISSING_PASSES));
        let settled = self.read_sequence.saturating_sub(SETTLE_SWEEPS);
        let still = self.last_sequence > 0 && group.is_still_since(settled);
        let before_ns = ctx.clock.monotonic_ns();
        let unheld = self.spare.take().filter(|spare| Arc::strong_count(spare) == 1);
        let mut next = unheld.unwrap_or_else(|| Arc::new(Details::clone(&self.details)));
        if let Some(next) = Arc::get_mut(&mut next) {
            next.copy_from(&self.details);
            next.clear_lists();
            // A file that cannot be read leaves its value absent, not that of the pass before: then all is read anew.
            if !still || !self.read_files(group, Due { rare, missing, active: false }, next, ctx) {
                next.clear_all_but_limits();
                self.read_files(group, Due { rare, missing, active: true }, next, ctx);
            }
            read_processes(group, rare, extras, &self.details.network, next, ctx);
            next.unix_ms = ctx.anchor.middle_unix_ms(before_ns, ctx.clock.monotonic_ns());
        }
        self.spare = Some(std::mem::replace(&mut self.details, next));
        self.last_cpu_ns = cpu_ns;
        self.read_sequence = ctx.sequence;
        let turn = |sweeps: u64| if first { group.inode() % sweeps } else { 0 };
        self.last_sequence = ctx.sequence.saturating_sub(turn(SLOW_SWEEPS)).max(1);
        if rare {
            self.last_rare_sequence = ctx.sequence.saturating_sub(turn(RARE_SWEEPS)).max(1);
        }
    }

    /// Whether every file that was tried could be read, but for those that could not be read before.
    fn read_files(
        &mut self,
        group: &GroupFiles,
        due: Due,
        to: &mut Details,
        ctx: &mut SweepContext<'_>,
    ) -> bool {
        let mut all = true;
        for (at, reader) in ctx.plan.slow.iter().enumerate() {
            let bit = 1_u64.checked_shl(at as u32).unwrap_or(0);
            let was_missing = self.missing & bit != 0;
            if (was_missing && !due.missing) || !due.includes(reader.pace) {
                continue;
            }
            let Some(tree) = ctx.trees.get(reader.tree) else { continue };
            // From the mount point each time: opening the group's folder first costs more than it saves for so few files.
            let text = files::join(ctx.path, group.path(), &reader.file)
                .and_then(|path| files::read_at(tree, path, ctx.buffer));
            match text {
                Ok(text) => {
                    self.missing &= !bit;
                    (reader.take)(text, reader.argument, to);
                }
                Err(ReadFault::Gone) => return true,
                Err(fault) => {
                    all &= was_missing;
                    // Limits are kept from pass to pass: an empty text clears the one that cannot be read now.
                    if reader.pace == Pace::Rare {
                        (reader.take)(b"", reader.argument, to);
                    }
                    self.missing |= bit;
                    if fault != ReadFault::Missing {
                        (ctx.faults)(fault);
                    }
                }
            }
        }
        all
    }
}

/// Which files a pass reads beside those of [`Pace::Slow`].
#[derive(Clone, Copy)]
struct Due {
    rare: bool,
    /// Those of them that could not be read, too.
    missing: bool,
    active: bool,
}

impl Due {
    fn includes(self, pace: Pace) -> bool {
        match pace {
            Pace::Active => self.active,
            Pace::Slow => true,
            Pace::Rare => self.rare,
        }
    }
}

/// What only processes tell: interfaces, descriptors; and the number of those in groups below a container's. `interfaces`:
/// those of the pass before.
fn read_processes(
    group: &GroupFiles,
    rare: bool,
    extras: Extras<'_>,
    interfaces: &[Interface],
    to: &mut Details,
    ctx: &mut SweepContext<'_>,
) {
    if extras.disks
        && let Ok(text) = files::read_at(extras.proc_root, "diskstats", ctx.buffer)
    {
        to.disks.extend(devices::disk_totals(text));
    }
    if extras.disks
        && let Ok(text) = files::read_at(extras.proc_root, "meminfo", ctx.buffer)
    {
        limit_of_machine(text, &mut to.memory);
    }
    if let NetworkOf::Node(net_dev) = extras.network {
        network::read_node(net_dev, extras.proc_root, interfaces, &mut to.network, ctx);
    }
    let Some(tree) = ctx.trees.first() else { return };
    let of_group = extras.network == NetworkOf::Group;
    ctx.path.clear();
    ctx.path.push_str(group.path());
    let has_more = extras.descends && members::has_groups_below(tree, ctx.path);
    if !of_group && !extras.descriptors && !extras.sockets && !has_more {
        return;
    }
    let Ok(members) = Members::of(tree, ctx.path, ctx.buffer) else { return };
    if has_more {
        to.tasks.processes = Some(members.count);
    }
    let pids = members.pids();
    if of_group {
        // Any process will do; the first may have ended meanwhile.
        for pid in pids.iter().take(4) {
            if network::read(*pid, extras.proc_root, interfaces, &mut to.network, ctx) {
                break;
            }
        }
    }
    if extras.sockets {
        to.tasks.sockets =
            members.is_whole().then(|| sockets(members.pids(), extras.proc_root, ctx)).flatten();
    }
    if extras.descriptors {
        to.tasks.descriptors = members.is_whole().then(|| descriptors(pids, extras.proc_root, ctx)).flatten();
        if rare {
            to.tasks.descriptors_soft_limit = pids.first().and_then(|pid| {
                ctx.path.clear();
                let _ = write!(ctx.path, "{pid}/limits");
                let text = files::read_at(extras.proc_root, ctx.path.as_str(), ctx.buffer).ok()?;
                parse::soft_limit(text, OPEN_FILES)
            });
        }
    }
}

/// The machine's root group has no limit but what there is, as cAdvisor has it too.
fn limit_of_machine(meminfo: &[u8], to: &mut MemoryDetails) {
    let total = |wanted: &str| {
        memory::meminfo(meminfo).find(|(name, ..)| *name == wanted).map(|(_, bytes, _)| Limit::Bytes(bytes))
    };
    for (limit, name) in [(&mut to.limit, "MemTotal"), (&mut to.swap_limit, "SwapTotal")] {
        if !matches!(limit, Some(Limit::Bytes(_))) {
            *limit = total(name);
        }
    }
}

/// Descriptors of processes that are sockets: each is looked at, which takes the right to trace the processes. Absent
/// without it, and beyond [`LOOKED_AT_LIMIT`].
fn sockets(pids: &[u32], proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) -> Option<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (mut count, mut looked_at) = (0, 0);
    for pid in pids {
        ctx.path.clear();
        let _ = write!(ctx.path, "{pid}/fd");
        cost::called(3);
        let folder = match rustix::fs::openat(proc_root, ctx.path.as_str(), flags, Mode::empty()) {
            Ok(folder) => folder,
            // It ended meanwhile.
            Err(Errno::NOENT | Errno::SRCH) => continue,
            Err(_) => return None,
        };
        let mut listing = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut entries = RawDir::new(&folder, &mut listing);
        while let Some(Ok(entry)) = entries.next() {
            if !entry.file_name().to_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            looked_at += 1;
            if looked_at > LOOKED_AT_LIMIT {
                return None;
            }
            cost::called(1);
            // Its beginning is enough.
            let mut target = [0; SOCKET.len()];
            if rustix::fs::readlinkat_raw(&folder, entry.file_name(), &mut target).is_ok() {
                count += u64::from(target == *SOCKET);
            }
        }
    }
    Some(count)
}

/// Open descriptors of processes. The size of `/proc/PID/fd` is their number since Linux 6.2, and anyone may ask for it;
/// a process that ended meanwhile has none. Older kernels say 0 of every process: then it is absent.
fn descriptors(pids: &[u32], proc_root: &OwnedFd, ctx: &mut SweepContext<'_>) -> Option<u64> {
    let mut count = 0;
    for pid in pids {
        ctx.path.clear();
        let _ = write!(ctx.path, "{pid}/fd");
        if let Ok(stat) = rustix::fs::statat(proc_root, ctx.path.as_str(), rustix::fs::AtFlags::empty()) {
            count += u64::try_from(stat.st_size).unwrap_or(0);
        }
    }
    (count > 0).then_some(count)
}

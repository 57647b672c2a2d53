//! One sweep: find the groups, read each, stamp each, name those that have a name now.
//!
//! A [`Sweeper`] owns everything a sweep needs and does nothing between sweeps, so it can be driven by the agent's
//! thread, by a bench or by a test. In the steady state a sweep makes no allocation per group: the finished
//! [`Sweep`] is handed out behind an `Arc`, and the one before it is filled anew unless someone still holds it.

mod report;

use crate::clock::{Anchor, Clock, SystemClock};
use crate::config::{Config, SourceChoice};
use crate::cost::{Cost, Meter, Stage};
use crate::created;
use crate::detect;
use crate::devices::Devices;
use crate::discover::{Change, Discovery, GroupId};
use crate::error::CollectorError;
use crate::files::{self, BUFFER_BYTES, Budget};
use crate::group::{GroupFiles, Stillness, SweepContext};
use crate::mounts::{FilePlan, Hierarchies};
use crate::names::Names;
use crate::node::NodeReader;
use crate::node_exporter::Places;
use crate::processes::Processes;
use crate::sample::{CpuMark, Reading, Sweep};
use crate::slow::{Extras, NetworkOf, SlowTier};
use crate::tracked::{Group, Kind, add};
use crate::watches::Watches;
pub use report::{Latest, Source, SweepReport};
use rustix::fd::OwnedFd;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads all groups of a machine, once per call.
pub struct Sweeper {
    source: Source,
    plan: FilePlan,
    trees: Vec<OwnedFd>,
    proc_root: OwnedFd,
    budget: Budget,
    /// The trees are control groups', whose folders have times that mean something.
    on_cgroup_fs: bool,
    boot_unix_ms: Option<i64>,
    discovery: Discovery,
    node: NodeReader,
    processes: Option<Processes>,
    groups: Vec<Group>,
    /// CPU time of containers that are gone, by pod: pods have no counter of their own under [`Source::Processes`].
    ended_cpu_ns: HashMap<Arc<str>, u64>,
    /// Room for the sums of pods.
    sums: HashMap<Arc<str>, Reading>,
    gone: HashSet<GroupId>,
    /// What the pods read in this sweep say of their containers.
    still: HashMap<GroupId, Stillness>,
    changes: Vec<Change>,
    names: Arc<Names>,
    names_generation: Option<u64>,
    /// Names were given since `unnamed_containers` were counted.
    names_changed: bool,
    unnamed_containers: usize,
    counts_descriptors: bool,
    counts_sockets: bool,
    node_slow: SlowTier,
    /// The machine's root group.
    node_root: GroupFiles,
    node_created_unix_ms: Option<i64>,
    /// The machine's interfaces in /proc, where they can be seen.
    node_net_dev: Option<String>,
    last_node_cpu: Option<CpuMark>,
    devices: Devices,
    clock: Box<dyn Clock>,
    buffer: Vec<u8>,
    path: String,
    sequence: u64,
    current: Arc<Sweep>,
    spare: Option<Arc<Sweep>>,
    latest: Arc<Latest>,
    report: SweepReport,
    /// What looks between sweeps met, for the report of the next sweep.
    looks: SweepReport,
    /// Groups whose last reading is in no sweep that was handed out.
    emptied: Vec<GroupId>,
    meter: Meter,
}

impl Sweeper {
    /// Opens the source of a configuration. Reads no value yet.
    pub fn new(config: &Config, names: Arc<Names>) -> Result<Sweeper, CollectorError> {
        Sweeper::with_clock(config, names, Box::new(SystemClock))
    }

    /// As [`Sweeper::new`], with a clock of the caller's.
    pub fn with_clock(
        config: &Config,
        names: Arc<Names>,
        clock: Box<dyn Clock>,
    ) -> Result<Sweeper, CollectorError> {
        config.check()?;
        let hierarchies = match &config.source {
            SourceChoice::Detect => Some(detect::on_this_machine()?),
            SourceChoice::Tree(folder) => Some(detect::below(folder)?),
            SourceChoice::Hierarchies(hierarchies) => Some(Hierarchies::clone(hierarchies)),
            SourceChoice::Processes(_) => None,
        };
        let mut plan = match (&hierarchies, &config.source) {
            (Some(hierarchies), _) => hierarchies.plan(&detect::huge_page_sizes(&config.sys_root)),
            (None, SourceChoice::Processes(folder)) => folder_plan(folder.clone()),
            (None, _) => folder_plan(PathBuf::from("/")),
        };
        if config.per_cpu {
            plan.add_per_cpu();
        }
        let trees = plan.trees.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = plan.trees.first() else {
            return Err(CollectorError::NoHierarchy { place: config.cgroup_root.clone().into() });
        };
        let on_cgroup_fs = trees.iter().all(files::is_cgroup_fs);
        let budget = if on_cgroup_fs { Budget::new(config.kept_files_limit) } else { Budget::none() };
        let cgroup_root = if hierarchies.is_some() { config.cgroup_root.as_str() } else { "/" };
        let latest = Arc::new(Latest::default());
        Ok(Sweeper {
            source: hierarchies.as_ref().map_or(Source::Processes, |h| Source::Cgroups(h.version)),
            discovery: Discovery::new(open(first)?, cgroup_root, hierarchies.is_some()),
            node: node_reader(hierarchies.as_ref(), trees.len()),
            processes: hierarchies.is_none().then(Processes::new),
            counts_descriptors: config.counts_descriptors,
            counts_sockets: config.counts_sockets,
            node_slow: SlowTier::new(&plan.huge_page_sizes),
            node_root: GroupFiles::new("", 0, trees.len()),
            node_created_unix_ms: None,
            node_net_dev: node_net_dev(config),
            devices: Devices::default(),
            last_node_cpu: None,
            proc_root: open(&config.proc_root)?,
            plan,
            trees,
            budget,
            on_cgroup_fs,
            boot_unix_ms: None,
            groups: Vec::new(),
            ended_cpu_ns: HashMap::new(),
            sums: HashMap::new(),
            gone: HashSet::new(),
            still: HashMap::new(),
            changes: Vec::new(),
            names,
            names_generation: None,
            names_changed: true,
            unnamed_containers: 0,
            clock,
            buffer: vec![0; BUFFER_BYTES],
            path: String::new(),
            sequence: 0,
            current: latest.get(),
            spare: None,
            latest,
            report: SweepReport::default(),
            looks: SweepReport::default(),
            emptied: Vec::new(),
            meter: Meter::start(),
        })
    }

    /// What values are made of.
    pub fn source(&self) -> Source {
        self.source
    }

    /// A mount point in which the groups of containers are.
    pub fn groups_root(&self) -> &Path {
        self.plan.trees.first().map_or(Path::new("/"), PathBuf::as_path)
    }

    /// Where readers find the last sweep.
    pub fn latest(&self) -> Arc<Latest> {
        self.latest.clone()
    }

    /// What the last sweep cost and met.
    pub fn report(&self) -> &SweepReport {
        &self.report
    }

    /// Which file gives which value.
    pub fn plan(&self) -> &FilePlan {
        &self.plan
    }

    /// The clock it stamps with.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Sweeps. Groups that vanish meanwhile are left out, and what took their place is read within the same sweep.
    pub fn sweep_once(&mut self) -> &Sweep {
        self.take_events();
        let started_ns = self.clock.monotonic_ns();
        let anchor = Anchor::now(self.clock.as_ref());
        self.sequence += 1;
        self.report = SweepReport::default();
        self.gone.clear();
        self.still.clear();
        self.emptied.clear();
        self.meter.lap();
        self.discover();
        let node = self.read_node_and_processes(anchor);
        self.read_groups(anchor);
        if !self.gone.is_empty() {
            self.discover();
            self.read_groups(anchor);
        }
        self.resolve_names();
        self.choose_networks();
        self.publish(anchor, started_ns, node);
        self.report.add_counts(&std::mem::take(&mut self.looks));
        &self.current
    }

    /// Takes what the kernel says of groups that came, went or became empty, and reads the last at once: they may be gone
    /// in a moment, and nothing will change in them any more.
    pub fn take_events(&mut self) {
        self.discovery.take_events();
        let already = self.emptied.len();
        self.discovery.take_emptied(&mut self.emptied);
        if self.emptied.len() == already || self.sequence == 0 {
            return;
        }
        let before = std::mem::take(&mut self.report);
        self.meter.lap();
        self.read_emptied(already);
        self.report.costs.add(Stage::Look, self.meter.lap());
        self.looks.add_counts(&self.report);
        self.report = before;
    }

    /// Reads those of [`Sweeper::emptied`] from a place on. A group that is gone keeps its reading.
    fn read_emptied(&mut self, from: usize) {
        let anchor = Anchor::now(self.clock.as_ref());
        let emptied: HashSet<GroupId> = self.emptied.iter().skip(from).copied().collect();
        let mut faults = |fault| self.report.count(fault);
        let mut ctx = SweepContext {
            plan: &self.plan,
            trees: &self.trees,
            budget: &self.budget,
            clock: self.clock.as_ref(),
            anchor,
            sequence: self.sequence,
            buffer: &mut self.buffer,
            path: &mut self.path,
            faults: &mut faults,
        };
        let (mut read, mut resets) = (0, 0);
        for group in self.groups.iter_mut().filter(|group| emptied.contains(&group.id)) {
            let values = group.files.read_between(&mut ctx);
            if values.gone {
                continue;
            }
            read += 1;
            resets += group.take(values, anchor);
            let extras = Extras {
                proc_root: &self.proc_root,
                network: NetworkOf::Nobody,
                descriptors: false,
                sockets: false,
                disks: false,
                descends: false,
            };
            group.slow.read(&group.files, values.cpu.map(|cpu| cpu.usage_ns), extras, &mut ctx);
        }
        self.report.emptied += read;
        self.report.resets += resets;
    }

    /// Looks for groups that came or went since the last sweep, if the kernel says that there are any, reads the new ones
    /// and hands out the last sweep with them in it, and with the last readings of groups that became empty. Whether
    /// anything changed.
    pub fn look_again(&mut self) -> bool {
        if self.sequence == 0 {
            return false;
        }
        self.take_events();
        if !self.discovery.has_news() {
            return false;
        }
        let started_ns = self.clock.monotonic_ns();
        let anchor = Anchor::now(self.clock.as_ref());
        let before = std::mem::take(&mut self.report);
        self.meter.lap();
        self.gone.clear();
        self.discover();
        self.read_groups(anchor);
        let has_last_readings = !std::mem::take(&mut self.emptied).is_empty();
        let changed = self.report.added > 0 || self.report.removed > 0 || has_last_readings;
        if changed {
            self.resolve_names();
            self.choose_networks();
            let node = self.current.node;
            self.publish(anchor, started_ns, node);
        }
        self.looks.add_counts(&self.report);
        self.report = before;
        changed
    }

    /// What wakes before the next sweep is due: readable when groups came or went.
    pub fn watches(&self) -> Option<&Watches> {
        self.discovery.watches()
    }

    fn discover(&mut self) {
        self.discovery.refresh(self.sequence, &self.gone, &self.budget, &mut self.changes);
        self.report.left_out = self.discovery.left_out();
        let mut removed: HashSet<GroupId> = HashSet::new();
        for change in self.changes.drain(..) {
            match change {
                Change::Added(found) => {
                    self.report.added += 1;
                    self.groups.push(Group::new(found, &self.plan, self.sequence));
                }
                Change::Removed(id) => {
                    removed.insert(id);
                }
            }
        }
        if !removed.is_empty() {
            self.forget(&removed);
        }
        self.report.costs.add(Stage::Discover, self.meter.lap());
    }

    fn forget(&mut self, removed: &HashSet<GroupId>) {
        self.report.removed += removed.len() as u64;
        let mut bereft: HashSet<Arc<str>> = HashSet::new();
        for group in self.groups.iter_mut().filter(|group| removed.contains(&group.id)) {
            group.files.close(&self.budget);
            match &group.kind {
                Kind::Pod { .. } => {
                    self.ended_cpu_ns.remove(&group.pod_uid);
                }
                Kind::Container { .. } if self.processes.is_some() => {
                    let used = group.reading.cpu.map_or(0, |cpu| cpu.usage_ns);
                    *self.ended_cpu_ns.entry(group.pod_uid.clone()).or_default() += used;
                }
                Kind::System(_) => {}
                Kind::Container { .. } => {
                    bereft.insert(group.pod_uid.clone());
                }
            }
        }
        // On v2 the pod counts what its container came to: see `history::oom`.
        for group in self.groups.iter_mut().filter(|group| bereft.contains(&group.pod_uid)) {
            if matches!(group.kind, Kind::Pod { .. }) {
                group.slow.hurry();
            }
        }
        self.groups.retain(|group| !removed.contains(&group.id));
    }

    fn read_node_and_processes(&mut self, anchor: Anchor) -> Reading {
        let mut faults = |fault| self.report.count(fault);
        let mut ctx = SweepContext {
            plan: &self.plan,
            trees: &self.trees,
            budget: &self.budget,
            clock: self.clock.as_ref(),
            anchor,
            sequence: self.sequence,
            buffer: &mut self.buffer,
            path: &mut self.path,
            faults: &mut faults,
        };
        if let Some(processes) = &mut self.processes {
            processes.refresh(&self.proc_root, &mut ctx);
        }
        let mut reading = self.node.read(&self.proc_root, &mut ctx);
        self.boot_unix_ms = reading.start_unix_ms;
        if self.on_cgroup_fs && self.node_created_unix_ms.is_none() {
            self.node_created_unix_ms = created::unix_ms(&self.node_root, self.boot_unix_ms, &mut ctx);
        }
        reading.created_unix_ms = self.node_created_unix_ms;
        let now = reading.cpu.map(|cpu| CpuMark::of(&cpu, anchor));
        let last = std::mem::replace(&mut self.last_node_cpu, now);
        reading.cpu_rate_nanocores = now.zip(last).and_then(|(now, last)| now.rate_nanocores(&last));
        let cpu_ns = reading.cpu.map(|cpu| cpu.usage_ns);
        if self.processes.is_none() && self.node_slow.is_due(ctx.sequence, cpu_ns) {
            let proc_root = &self.proc_root;
            let network = self.node_net_dev.as_deref().map_or(NetworkOf::Nobody, NetworkOf::Node);
            let extras = Extras {
                proc_root,
                network,
                descriptors: false,
                sockets: false,
                disks: true,
                descends: false,
            };
            self.node_slow.read(&self.node_root, cpu_ns, extras, &mut ctx);
        }
        reading
    }

    /// Reads every group that was not read in this sweep yet.
    fn read_groups(&mut self, anchor: Anchor) {
        let (mut resets, mut started, mut slow) = (0, 0, Cost::default());
        let trusts_pods = self.on_cgroup_fs && self.discovery.is_told_of_all();
        let mut faults = |fault| self.report.count(fault);
        let mut ctx = SweepContext {
            plan: &self.plan,
            trees: &self.trees,
            budget: &self.budget,
            clock: self.clock.as_ref(),
            anchor,
            sequence: self.sequence,
            buffer: &mut self.buffer,
            path: &mut self.path,
            faults: &mut faults,
        };
        for group in &mut self.groups {
            if group.read_sequence == self.sequence {
                continue;
            }
            group.read_sequence = self.sequence;
            let values = match (&self.processes, &group.kind) {
                (None, Kind::Container { pod, .. }) if trusts_pods => {
                    group.files.read_below(self.still.get(pod).copied(), &mut ctx)
                }
                (None, _) => group.files.read(&mut ctx),
                (Some(processes), Kind::Container { .. }) => {
                    processes.read(group.files.path(), &mut group.family, &self.proc_root, &mut ctx)
                }
                // Pods are summed from their containers when they are all read.
                (Some(_), Kind::Pod { .. } | Kind::System(_)) => continue,
            };
            if values.gone {
                self.gone.insert(group.id);
                continue;
            }
            if trusts_pods
                && matches!(group.kind, Kind::Pod { .. })
                && let Some(still) = group.files.stillness(&values, &mut ctx)
            {
                self.still.insert(group.id, still);
            }
            resets += group.take(values, anchor);
            if self.on_cgroup_fs && group.is_new(ctx.sequence) && group.reading.created_unix_ms.is_none() {
                group.reading.created_unix_ms = created::unix_ms(&group.files, self.boot_unix_ms, &mut ctx);
            }
            let cpu_ns = values.cpu.map(|cpu| cpu.usage_ns);
            if group.slow.is_due(ctx.sequence, cpu_ns) {
                let is_container = matches!(group.kind, Kind::Container { .. });
                let extras = Extras {
                    proc_root: &self.proc_root,
                    network: if group.stands_for_network { NetworkOf::Group } else { NetworkOf::Nobody },
                    descriptors: self.counts_descriptors && is_container,
                    sockets: self.counts_sockets && is_container,
                    disks: false,
                    descends: is_container,
                };
                let mut meter = Meter::start();
                group.slow.read(&group.files, cpu_ns, extras, &mut ctx);
                slow.add(meter.lap());
            }
            // After the slower tier, which sees processes come.
            started += u64::from(group.find_start(self.processes.is_some(), &self.proc_root, &mut ctx));
        }
        self.report.costs.add(Stage::Read, self.meter.lap().less(slow));
        self.report.costs.add(Stage::Slow, slow);
        self.report.resets += resets;
        self.report.started += started;
    }

    /// Settles for each pod the container with which its interfaces are read: the sandbox, else the one found first.
    fn choose_networks(&mut self) {
        let changed = self.report.added > 0 || self.report.removed > 0 || self.report.started > 0;
        if !changed || self.processes.is_some() {
            return;
        }
        let mut chosen: HashMap<Arc<str>, (bool, GroupId)> = HashMap::new();
        for group in &self.groups {
            let Kind::Container { looks_like_sandbox, .. } = &group.kind else { continue };
            let candidate = (!looks_like_sandbox, group.id);
            let best = chosen.entry(group.pod_uid.clone()).or_insert(candidate);
            *best = candidate.min(*best);
        }
        for group in &mut self.groups {
            let chosen = chosen.get(&group.pod_uid).is_some_and(|(_, id)| *id == group.id);
            if chosen && !group.stands_for_network {
                group.slow.hurry();
            }
            group.stands_for_network = chosen;
        }
    }

    /// Names groups that have none; only when the table changed or groups are new.
    fn resolve_names(&mut self) {
        let generation = self.names.generation();
        let table_changed = self.names_generation != Some(generation);
        if !table_changed && self.report.added == 0 {
            return;
        }
        self.names_generation = Some(generation);
        self.names_changed = true;
        if self.report.added > 0 {
            self.names.want();
        }
        let table = self.names.table();
        for group in &mut self.groups {
            match &mut group.kind {
                Kind::Pod { name: name @ None, .. } => *name = table.pod(&group.pod_uid).cloned(),
                Kind::Container { id, name, pod_name, looks_like_sandbox, .. } => {
                    if let Some(unix_ms) = table.created_unix_ms(id) {
                        group.reading.created_unix_ms = Some(unix_ms);
                    }
                    if !*looks_like_sandbox && table.is_sandbox(id) {
                        *looks_like_sandbox = true;
                        self.report.started += 1;
                    }
                    if name.is_none() {
                        *name = table.container(id).cloned();
                    }
                    if pod_name.is_none() {
                        *pod_name = table.pod(&group.pod_uid).cloned();
                    }
                }
                Kind::Pod { .. } | Kind::System(_) => {}
            }
        }
    }

    fn publish(&mut self, anchor: Anchor, started_ns: u64, node: Reading) {
        let sums = self.processes.is_some().then(|| self.sums_of_pods());
        let unheld = self.spare.take().filter(|spare| Arc::strong_count(spare) == 1);
        let mut sweep = unheld.unwrap_or_default();
        if let Some(sweep) = Arc::get_mut(&mut sweep) {
            sweep.clear();
            sweep.sequence = self.sequence;
            sweep.started_unix_ms = anchor.unix_ms(started_ns);
            sweep.node = node;
            sweep.node_details = self.node_slow.details().clone();
            sweep.devices = self.devices.names(&self.proc_root, self.sequence, &mut self.buffer);
            for group in self.groups.iter().filter(|group| !self.gone.contains(&group.id)) {
                // Without control groups nothing is known of what is no container.
                if sums.is_some() && matches!(group.kind, Kind::System(_)) {
                    continue;
                }
                group.publish(sums.as_ref(), sweep);
            }
            let finished_ns = self.clock.monotonic_ns();
            sweep.finished_unix_ms = anchor.unix_ms(finished_ns);
            self.report.duration_ns = finished_ns.saturating_sub(started_ns);
            self.report.pods = sweep.pods.len();
            self.report.containers = sweep.containers.len();
            if self.report.added + self.report.removed + self.report.started > 0 || self.names_changed {
                self.unnamed_containers = sweep.unnamed_containers();
                self.names_changed = false;
                self.names.set_unnamed(self.unnamed_containers);
            }
            self.report.unnamed_containers = self.unnamed_containers;
            self.report.watches = self.discovery.watches().map_or(0, Watches::count);
            self.report.watches_refused = self.discovery.watches_refused();
        }
        self.sums = sums.unwrap_or_default();
        self.report.costs.add(Stage::Publish, self.meter.lap());
        self.current = sweep.clone();
        self.spare = Some(self.latest.put(sweep));
    }

    /// Pods as sums over their containers, those that ended included for CPU so that it does not go back.
    fn sums_of_pods(&mut self) -> HashMap<Arc<str>, Reading> {
        let mut sums = std::mem::take(&mut self.sums);
        sums.clear();
        for group in self.groups.iter().filter(|group| !self.gone.contains(&group.id)) {
            if matches!(group.kind, Kind::Container { .. }) {
                let ended_ns = self.ended_cpu_ns.get(&group.pod_uid).copied().unwrap_or(0);
                let sum = sums.entry(group.pod_uid.clone()).or_default();
                add(sum, &group.reading, ended_ns);
            }
        }
        sums
    }
}

fn node_reader(hierarchies: Option<&Hierarchies>, trees: usize) -> NodeReader {
    let cpu = hierarchies.and_then(|hierarchies| hierarchies.cpu.as_ref());
    let memory = hierarchies.and_then(|hierarchies| hierarchies.memory.as_ref());
    let root_group = cpu.map(|_| GroupFiles::new("", 0, trees));
    NodeReader::new(root_group, memory.is_some_and(|tree| !tree.whole_machine))
}

/// The machine's own `net/dev`, below /proc.
fn node_net_dev(config: &Config) -> Option<String> {
    let places = Places::find(&config.proc_root, &config.sys_root, &config.root, &config.node_name);
    let net = places.net?.strip_prefix(&config.proc_root).ok()?.join("dev");
    net.to_str().map(str::to_owned)
}

fn open(path: &Path) -> Result<OwnedFd, CollectorError> {
    files::open_folder(path)
        .map_err(|errno| CollectorError::Open { path: path.to_owned(), source: errno.into() })
}

fn folder_plan(folder: PathBuf) -> FilePlan {
    FilePlan {
        trees: vec![folder],
        cpu: None,
        memory_usage: None,
        memory_hierarchy: None,
        memory_stat: None,
        swap: None,
        slow: Vec::new(),
        huge_page_sizes: Vec::new(),
    }
}

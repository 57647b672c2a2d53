//! Which cgroup hierarchies a machine has, and which file of which hierarchy gives which value.
//!
//! Settled once, from the list of mounts; the sweep then follows the [`FilePlan`] without asking for versions again.

use crate::parse::{MEMORY_KEYS_V1, MEMORY_KEYS_V2, MemoryKeys};
use crate::readers::{self, Reader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One mounted cgroup file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    /// The part of the hierarchy that is mounted: `/`, or a group when mounted from inside a container.
    pub root: String,
    /// Where.
    pub mount_point: PathBuf,
    /// v2 (`cgroup2`) or v1 (`cgroup`).
    pub unified: bool,
    /// v1: controllers of the hierarchy (several when co-mounted), from the super options. v2: the controllers
    /// listed in `cgroup.controllers` at the mount point.
    pub controllers: Vec<String>,
}

/// The hierarchies the collector reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    /// Name for people: what the machine runs.
    pub version: Version,
    /// Hierarchy that accounts CPU; `None` where no mounted one does.
    pub cpu: Option<Tree>,
    /// Hierarchy that accounts memory; `None` where no mounted one does.
    pub memory: Option<Tree>,
    /// Where the slower tier's files are.
    pub more: MoreTrees,
}

/// Hierarchies of what is read less often. `None` where no mounted one accounts it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MoreTrees {
    /// CPU limits and throttling.
    pub cpu_limits: Option<Tree>,
    /// Tasks.
    pub pids: Option<Tree>,
    /// Block devices.
    pub block_io: Option<Tree>,
    /// Huge pages.
    pub hugetlb: Option<Tree>,
    /// Pressure: v2's, also the one beside v1 on hybrid machines, as far as groups are mirrored there.
    pub pressure: Option<Tree>,
}

/// Kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// v1 hierarchies only.
    V1,
    /// The v2 tree only.
    V2,
    /// v1 hierarchies and a v2 tree beside them; values come from v1 where v1 has the controller.
    Hybrid,
}

/// One hierarchy as a source of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its mount point.
    pub mount_point: PathBuf,
    /// v2 files or v1 files.
    pub unified: bool,
    /// Whether its root is the machine and not a group of it.
    pub whole_machine: bool,
}

/// How a CPU file prints usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuFormat {
    /// One number, nanoseconds.
    Nanoseconds,
    /// `usage_usec` among other keys.
    Stat,
}

/// The files of one group, each with the tree it is in. What the machine does not account is `None` and never tried.
#[derive(Debug, Clone)]
pub struct FilePlan {
    /// Mount points; the first is the one whose folders are listed for discovery.
    pub trees: Vec<PathBuf>,
    /// CPU usage: tree, file, format.
    pub cpu: Option<(usize, &'static str, CpuFormat)>,
    /// Memory usage: tree, file.
    pub memory_usage: Option<(usize, &'static str)>,
    /// Says by 1 that a group's memory counts that of the groups in it, where that is a choice: tree, file.
    pub memory_hierarchy: Option<(usize, &'static str)>,
    /// Memory statistics: tree, file, keys.
    pub memory_stat: Option<(usize, &'static str, &'static MemoryKeys)>,
    /// Swap usage and limit, where they are files of their own: tree, files.
    pub swap: Option<(usize, &'static str, &'static str)>,
    /// What the slower tier reads.
    pub slow: Vec<Reader>,
    /// Sizes of huge pages on this machine, for [`Details::hugetlb`](crate::details::Details::hugetlb).
    pub huge_page_sizes: Vec<Arc<str>>,
}

impl Hierarchies {
    /// Chooses among the mounts: v1 where it has the controller, else v2. `None` when no cgroup is mounted.
    ///
    /// Of several mounts of one hierarchy the one that shows most of it (root `/`) wins, then the first.
    pub fn settle(mounts: &[CgroupMount]) -> Option<Hierarchies> {
        let unified = best(mounts.iter().filter(|mount| mount.unified));
        let v1 = |controller: &str| {
            best(
                mounts
                    .iter()
                    .filter(|mount| !mount.unified && mount.controllers.iter().any(|c| c == controller)),
            )
        };
        // Every v2 group has cpu.stat, whatever its controllers; memory files need the controller.
        let unified_memory = unified.filter(|mount| mount.controllers.iter().any(|c| c == "memory"));
        let cpu = v1("cpuacct").or(unified).map(Tree::of);
        let memory = v1("memory").or(unified_memory).map(Tree::of);
        let has_v1 = mounts.iter().any(|mount| !mount.unified && controls(mount));
        let version = match (has_v1, unified) {
            (false, Some(_)) => Version::V2,
            (true, None) => Version::V1,
            (true, Some(_)) => Version::Hybrid,
            (false, None) => return None,
        };
        let of = |controller: &str, unified_name: &str| {
            let in_unified =
                unified.filter(|mount| mount.controllers.iter().any(|have| have == unified_name));
            v1(controller).or(in_unified).map(Tree::of)
        };
        let more = MoreTrees {
            cpu_limits: of("cpu", "cpu"),
            pids: of("pids", "pids"),
            block_io: of("blkio", "io"),
            hugetlb: of("hugetlb", "hugetlb"),
            pressure: unified.map(Tree::of),
        };
        Some(Hierarchies { version, cpu, memory, more })
    }

    /// One v2 tree at a path of the caller's choice.
    pub fn v2_at(mount_point: &Path) -> Hierarchies {
        let tree = Tree { mount_point: mount_point.to_owned(), unified: true, whole_machine: true };
        let more = MoreTrees {
            cpu_limits: Some(tree.clone()),
            pids: Some(tree.clone()),
            block_io: Some(tree.clone()),
            hugetlb: Some(tree.clone()),
            pressure: Some(tree.clone()),
        };
        Hierarchies { version: Version::V2, cpu: Some(tree.clone()), memory: Some(tree), more }
    }

    /// v1 hierarchies at paths of the caller's choice; the same path twice when co-mounted.
    pub fn v1_at(cpuacct: &Path, memory: &Path) -> Hierarchies {
        let tree = |path: &Path| Tree { mount_point: path.to_owned(), unified: false, whole_machine: true };
        Hierarchies {
            version: Version::V1,
            cpu: Some(tree(cpuacct)),
            memory: Some(tree(memory)),
            more: MoreTrees::default(),
        }
    }

    /// Which file gives which value. Discovery lists the memory hierarchy where there is one: a runtime joins it for
    /// every container.
    pub fn plan(&self, huge_page_sizes: &[String]) -> FilePlan {
        let mut trees: Vec<PathBuf> = Vec::with_capacity(2);
        let mut index = |tree: &Tree| match trees.iter().position(|known| *known == tree.mount_point) {
            Some(at) => at,
            None => {
                trees.push(tree.mount_point.clone());
                trees.len() - 1
            }
        };
        let memory = self.memory.as_ref().map(|tree| (index(tree), tree.unified));
        let cpu = self.cpu.as_ref().map(|tree| (index(tree), tree.unified));
        let mut more = |tree: &Option<Tree>| tree.as_ref().map(|tree| (index(tree), tree.unified));
        let slow = readers::plan(&readers::Places {
            cpu,
            memory,
            cpu_limits: more(&self.more.cpu_limits),
            pids: more(&self.more.pids),
            block_io: more(&self.more.block_io),
            hugetlb: more(&self.more.hugetlb),
            pressure: more(&self.more.pressure),
            huge_page_sizes,
        });
        FilePlan {
            trees,
            slow,
            huge_page_sizes: huge_page_sizes.iter().map(|size| Arc::from(size.as_str())).collect(),
            cpu: cpu.map(|(at, unified)| match unified {
                true => (at, "cpu.stat", CpuFormat::Stat),
                false => (at, "cpuacct.usage", CpuFormat::Nanoseconds),
            }),
            memory_usage: memory.map(|(at, unified)| match unified {
                true => (at, "memory.current"),
                false => (at, "memory.usage_in_bytes"),
            }),
            memory_hierarchy: memory
                .filter(|(_, unified)| !unified)
                .map(|(at, _)| (at, "memory.use_hierarchy")),
            memory_stat: memory.map(|(at, unified)| match unified {
                true => (at, "memory.stat", &MEMORY_KEYS_V2),
                false => (at, "memory.stat", &MEMORY_KEYS_V1),
            }),
            swap: memory
                .filter(|(_, unified)| *unified)
                .map(|(at, _)| (at, "memory.swap.current", "memory.swap.max")),
        }
    }
}

impl FilePlan {
    /// Also CPU time by CPU, where the machine accounts it: on v1.
    pub fn add_per_cpu(&mut self) {
        if let Some((tree, _, CpuFormat::Nanoseconds)) = self.cpu {
            self.slow.push(readers::per_cpu(tree));
        }
    }
}

impl MoreTrees {
    /// Every slot.
    pub fn all_mut(&mut self) -> [&mut Option<Tree>; 5] {
        [&mut self.cpu_limits, &mut self.pids, &mut self.block_io, &mut self.hugetlb, &mut self.pressure]
    }
}

impl Tree {
    fn of(mount: &CgroupMount) -> Tree {
        Tree {
            mount_point: mount.mount_point.clone(),
            unified: mount.unified,
            whole_machine: mount.root == "/",
        }
    }
}

/// Named hierarchies (`name=systemd`) account nothing and do not make a machine v1.
fn controls(mount: &CgroupMount) -> bool {
    mount.controllers.iter().any(|controller| !controller.starts_with("name="))
}

fn best<'a>(mounts: impl Iterator<Item = &'a CgroupMount>) -> Option<&'a CgroupMount> {
    let mut best: Option<&CgroupMount> = None;
    for mount in mounts {
        if best.is_none_or(|known| known.root != "/" && mount.root == "/") {
            best = Some(mount);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, unified: bool, controllers: &[&str]) -> CgroupMount {
        CgroupMount {
            root: "/".to_owned(),
            mount_point: PathBuf::from(point),
            unified,
            controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    #[test]
    fn v1_separate() {
        let found = Hierarchies::settle(&[
            mount("/c/cpuacct", false, &["cpuacct"]),
            mount("/c/memory", false, &["memory"]),
        ])
        .unwrap();
        assert_eq!(found.version, Version::V1);
        let plan = found.plan(&[]);
        assert_eq!(plan.trees, [PathBuf::from("/c/memory"), PathBuf::from("/c/cpuacct")]);
        assert_eq!(plan.cpu, Some((1, "cpuacct.usage", CpuFormat::Nanoseconds)));
        assert_eq!(plan.memory_usage, Some((0, "memory.usage_in_bytes")));
        assert_eq!(plan.swap, None);
    }

    #[test]
    fn v1_co_mounted_is_one_tree() {
        let all = ["cpu", "cpuacct", "memory"];
        let plan = Hierarchies::settle(&[mount("/c/all", false, &all)]).unwrap().plan(&[]);
        assert_eq!(plan.trees.len(), 1);
        assert_eq!(plan.cpu.unwrap().0, plan.memory_usage.unwrap().0);
    }

    #[test]
    fn v2_alone_even_beside_a_named_v1_hierarchy() {
        let found = Hierarchies::settle(&[
            mount("/c", true, &["cpu", "memory"]),
            mount("/c/systemd", false, &["name=systemd"]),
        ])
        .unwrap();
        assert_eq!(found.version, Version::V2);
        let plan = found.plan(&[]);
        assert_eq!(plan.cpu, Some((0, "cpu.stat", CpuFormat::Stat)));
        assert_eq!(plan.memory_stat.unwrap().2, &MEMORY_KEYS_V2);
        assert_eq!(plan.trees.len(), 1);
    }

    #[test]
    fn hybrid_reads_v1_and_fills_gaps_from_v2() {
        let found = Hierarchies::settle(&[
            mount("/c/cpuacct", false, &["cpuacct"]),
            mount("/c/unified", true, &["memory"]),
        ])
        .unwrap();
        assert_eq!(found.version, Version::Hybrid);
        assert_eq!(found.more.pressure.as_ref().unwrap().mount_point, Path::new("/c/unified"));
        let plan = found.plan(&[]);
        assert_eq!(plan.cpu.unwrap().1, "cpuacct.usage");
        assert_eq!(plan.memory_usage.unwrap().1, "memory.current");
    }

    #[test]
    fn a_v2_tree_without_the_memory_controller_gives_no_memory_files() {
        let plan = Hierarchies::settle(&[mount("/c", true, &["hugetlb"])]).unwrap().plan(&[]);
        assert_eq!(plan.cpu.unwrap().1, "cpu.stat");
        assert_eq!(plan.memory_usage, None);
    }

    #[test]
    fn the_widest_mount_wins() {
        let mut nested = mount("/nested", false, &["memory"]);
        nested.root = "/docker/abc".to_owned();
        let found = Hierarchies::settle(&[nested, mount("/c/memory", false, &["memory"])]).unwrap();
        assert_eq!(found.memory.unwrap().mount_point, Path::new("/c/memory"));
    }

    #[test]
    fn nothing_mounted() {
        assert_eq!(Hierarchies::settle(&[]), None);
    }
}

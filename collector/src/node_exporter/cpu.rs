//! CPUs: time by mode, throttling, which are online or isolated; and the machine-wide numbers of /proc/stat.
//!
//! Times never go back, as a counter must not: the kernel's idle and iowait do, a little, now and then. A drop of idle
//! of three seconds and more is taken as a CPU that was taken out and put back, and starts all its times anew.

use super::kept::{self, Kept};
use super::text::{fields, lines, number, shown};
use super::{Collect, Places, Scrape, rows};
use crate::table::Metric;
use std::path::PathBuf;

/// Modes of `node_cpu_seconds_total` in the order of their names, and where /proc/stat has them.
const MODES: [(&str, usize); 8] = [
    ("idle", 3),
    ("iowait", 4),
    ("irq", 5),
    ("nice", 1),
    ("softirq", 6),
    ("steal", 7),
    ("system", 2),
    ("user", 0),
];
/// As [`MODES`], for guests.
const GUEST_MODES: [(&str, usize); 2] = [("nice", 9), ("user", 8)];
const IDLE: usize = 3;
/// Ticks per second of /proc/stat, on every architecture and kernel (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// A drop of idle that is no rounding.
const JUMP_TICKS: u64 = 300;
/// Most CPUs that are read.
const MAX_CPUS: usize = 8192;

/// Ticks of one CPU by mode, in the order of /proc/stat; old kernels have fewer modes, which are then 0 as upstream
/// has it.
pub type Ticks = [u64; 10];

/// The lines `cpuN` of /proc/stat.
pub fn cpu_ticks(stat: &[u8]) -> impl Iterator<Item = (&[u8], Ticks)> {
    lines(stat).filter_map(|line| {
        let mut fields = fields(line);
        let cpu = fields.next()?.strip_prefix(b"cpu")?;
        number(cpu)?;
        let mut ticks = Ticks::default();
        for slot in &mut ticks {
            match fields.next() {
                Some(field) => *slot = number(field)?,
                None => break,
            }
        }
        Some((cpu, ticks))
    })
}

/// The first number of a line of /proc/stat.
pub fn stat_number(stat: &[u8], key: &[u8]) -> Option<u64> {
    lines(stat).find_map(|line| {
        let rest = line.strip_prefix(key)?.strip_prefix(b" ")?;
        fields(rest).next().and_then(number)
    })
}

/// Takes in what a CPU shows now.
pub fn never_back(shown: &mut Ticks, now: &Ticks) {
    if shown[IDLE].saturating_sub(now[IDLE]) >= JUMP_TICKS {
        *shown = Ticks::default();
    }
    for (shown, now) in shown.iter_mut().zip(now) {
        *shown = (*shown).max(*now);
    }
}

/// The numbers of a list of ranges such as `0-3,8`, as the kernel prints sets of CPUs.
pub fn cpu_list(text: &[u8]) -> Option<Vec<u64>> {
    let mut cpus = Vec::new();
    for part in text.trim_ascii().split(|byte| *byte == b',').filter(|part| !part.is_empty()) {
        let mut ends = part.splitn(2, |byte| *byte == b'-').map(number);
        let first = ends.next()??;
        let last = ends.next().unwrap_or(Some(first))?;
        if last < first || last - first >= MAX_CPUS as u64 || cpus.len() > MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

struct Cpu {
    label: String,
    ticks: Ticks,
    /// Shown by the last read.
    present: bool,
}

/// `cpu`
pub struct CpuCollector {
    stat: Kept,
    /// Ascending by label.
    cpus: Vec<Cpu>,
    isolated: Vec<String>,
    throttles: Throttles,
    online: Option<(Vec<String>, Kept)>,
}

impl CpuCollector {
    /// Asks /sys once which CPUs there are.
    pub fn new(places: &Places) -> CpuCollector {
        let folder = places.sys.join("devices/system/cpu");
        let mut buffer = Vec::new();
        let isolated = kept::read(&folder.join("isolated"), &mut buffer).ok().and_then(cpu_list);
        CpuCollector {
            stat: Kept::whole(places.proc.join("stat")),
            cpus: Vec::new(),
            isolated: labels(isolated.unwrap_or_default()),
            throttles: Throttles::find(&folder, &mut buffer),
            online: present(&folder, &mut buffer).map(|cpus| (cpus, Kept::whole(folder.join("online")))),
        }
    }

    fn take_in(&mut self, stat: &[u8]) {
        for cpu in &mut self.cpus {
            cpu.present = false;
        }
        for (label, now) in cpu_ticks(stat).take(MAX_CPUS) {
            let place = self.cpus.binary_search_by(|cpu| cpu.label.as_bytes().cmp(label));
            let index = place.unwrap_or_else(|index| {
                self.cpus.insert(index, Cpu { label: shown(label), ticks: now, present: true });
                index
            });
            never_back(&mut self.cpus[index].ticks, &now);
            self.cpus[index].present = true;
        }
        self.cpus.retain(|cpu| cpu.present);
    }
}

impl Collect for CpuCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let stat = self.stat.text(&mut scrape.buffer)?.to_vec();
        self.take_in(&stat);
        // The next collector needs the same text.
        scrape.stat = Some(stat);
        self.throttles.collect(scrape);
        let out = &mut scrape.out;
        for (row, modes) in [(&rows::CPU_GUEST_SECONDS, &GUEST_MODES[..]), (&rows::CPU_SECONDS, &MODES[..])] {
            if !self.cpus.is_empty() {
                out.family(row);
            }
            for cpu in &self.cpus {
                for (mode, index) in modes {
                    let seconds = cpu.ticks[*index] as f64 / TICKS_PER_SECOND;
                    out.sample(row.name, &[("cpu", &cpu.label), ("mode", mode)], seconds);
                }
            }
        }
        out.each(&rows::CPU_ISOLATED, "cpu", self.isolated.iter().map(|cpu| (cpu.as_str(), Some(1.0))));
        if let Some((cpus, online)) = &mut self.online {
            let online = labels(cpu_list(online.text(&mut scrape.buffer)?)?);
            let samples =
                cpus.iter().map(|cpu| (cpu.as_str(), Some(f64::from(u8::from(online.contains(cpu))))));
            scrape.out.each(&rows::CPU_ONLINE, "cpu", samples);
        }
        Some(())
    }
}

/// The CPUs of the machine, where the kernel lets them be taken out: `node_cpu_online` is shown only then.
fn present(folder: &std::path::Path, buffer: &mut Vec<u8>) -> Option<Vec<String>> {
    kept::read(&folder.join("cpu0/online"), buffer).ok()?;
    Some(labels(cpu_list(kept::read(&folder.join("present"), buffer).ok()?)?))
}

/// Labels ascend as text.
fn labels(cpus: Vec<u64>) -> Vec<String> {
    let mut labels: Vec<String> = cpus.iter().map(u64::to_string).collect();
    labels.sort_unstable();
    labels
}

/// One counter a core and one a package, each read at the first CPU that has it.
struct Throttles {
    cores: Vec<(String, String, Kept)>,
    packages: Vec<(String, Kept)>,
}

impl Throttles {
    fn find(folder: &std::path::Path, buffer: &mut Vec<u8>) -> Throttles {
        let mut throttles = Throttles { cores: Vec::new(), packages: Vec::new() };
        let present = kept::read(&folder.join("present"), buffer).ok().and_then(cpu_list);
        for cpu in present.unwrap_or_default() {
            let cpu: PathBuf = folder.join(format!("cpu{cpu}"));
            let package = kept::word(&cpu.join("topology/physical_package_id"), buffer);
            let core = kept::word(&cpu.join("topology/core_id"), buffer);
            let (Some(package), Some(core)) = (package, core) else { continue };
            let mut counter = |name: &str| {
                let path = cpu.join("thermal_throttle").join(name);
                kept::read(&path, buffer).is_ok().then(|| Kept::whole(path))
            };
            if !throttles.cores.iter().any(|(c, p, _)| *c == core && *p == package)
                && let Some(file) = counter("core_throttle_count")
            {
                throttles.cores.push((core, package.clone(), file));
            }
            if !throttles.packages.iter().any(|(p, _)| *p == package)
                && let Some(file) = counter("package_throttle_count")
            {
                throttles.packages.push((package, file));
            }
        }
        throttles.cores.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        throttles.packages.sort_by(|a, b| a.0.cmp(&b.0));
        throttles
    }

    fn collect(&mut self, scrape: &mut Scrape) {
        let Scrape { out, buffer, .. } = scrape;
        let mut begun = false;
        for (core, package, file) in &mut self.cores {
            let Some(count) = file.number(buffer) else { continue };
            if !begun {
                out.family(&rows::CPU_CORE_THROTTLES);
                begun = true;
            }
            out.sample(rows::CPU_CORE_THROTTLES.name, &[("core", core), ("package", package)], count);
        }
        let counts = self.packages.iter_mut().map(|(package, file)| (package.as_str(), file.number(buffer)));
        out.each(&rows::CPU_PACKAGE_THROTTLES, "package", counts);
    }
}

/// `stat`
pub struct StatCollector;

const STAT_ROWS: [(&Metric, &[u8]); 6] = [
    (&rows::BOOT_TIME, b"btime"),
    (&rows::CONTEXT_SWITCHES, b"ctxt"),
    (&rows::FORKS, b"processes"),
    (&rows::INTR, b"intr"),
    (&rows::PROCS_BLOCKED, b"procs_blocked"),
    (&rows::PROCS_RUNNING, b"procs_running"),
];

impl Collect for StatCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let stat = scrape.stat.take()?;
        let mut complete = Some(());
        for (row, key) in STAT_ROWS {
            match stat_number(&stat, key) {
                Some(value) => scrape.out.one(row, value as f64),
                None => complete = None,
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"cpu  5 0 5 9 1 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu10 1 2 3 4\ncpux 1\n\
        intr 170 0 9\nctxt 12\nbtime 1700000000\nprocesses 77\nprocs_running 2\nprocs_blocked 0\nsoftirq 1 2\n";

    #[test]
    fn stat_as_the_kernel_prints_it() {
        let cpus: Vec<_> = cpu_ticks(STAT).collect();
        assert_eq!(
            cpus,
            [(&b"0"[..], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), (&b"10"[..], [1, 2, 3, 4, 0, 0, 0, 0, 0, 0])]
        );
        assert_eq!(
            (stat_number(STAT, b"intr"), stat_number(STAT, b"btime")),
            (Some(170), Some(1_700_000_000))
        );
        assert_eq!((stat_number(STAT, b"procs"), stat_number(b"ctxt x\n", b"ctxt")), (None, None));
    }

    #[test]
    fn a_cpu_with_a_broken_line_is_absent() {
        assert_eq!(cpu_ticks(b"cpu0 1 x 3\ncpu1 1 2 3 4 5 6 7 8 9 10\n").count(), 1);
    }

    #[test]
    fn times_never_go_back_but_for_a_cpu_put_back() {
        let mut shown = [10, 0, 0, 1000, 50, 0, 0, 0, 0, 0];
        never_back(&mut shown, &[11, 0, 0, 999, 49, 0, 0, 0, 0, 0]);
        assert_eq!(shown, [11, 0, 0, 1000, 50, 0, 0, 0, 0, 0]);
        never_back(&mut shown, &[1, 0, 0, 701, 0, 0, 0, 0, 0, 0]);
        assert_eq!(shown, [11, 0, 0, 1000, 50, 0, 0, 0, 0, 0]);
        never_back(&mut shown, &[1, 0, 0, 700, 0, 0, 0, 0, 0, 0]);
        assert_eq!(shown, [1, 0, 0, 700, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn lists_of_cpus() {
        for (text, expected) in [
            ("0-3,8\n", Some(vec![0, 1, 2, 3, 8])),
            ("\n", Some(vec![])),
            ("5", Some(vec![5])),
            ("3-1", None),
            ("0-99999999", None),
            ("a", None),
            ("1-", None),
        ] {
            assert_eq!(cpu_list(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(labels(vec![2, 10, 1]), ["1", "10", "2"]);
    }
}

//! Small files of the kernel, a collector each: load, open files, entropy, pressure, scheduler, clock, names.

use super::kept::{self, Kept};
use super::text::{fields, float, lines, number, shown};
use super::{Aged, Collect, Places, Scrape, rows};
use crate::table::Metric;
use rustix::io::Errno;
use std::collections::HashMap;
use std::path::PathBuf;

const NANOSECONDS: f64 = 1e9;
const MICROSECONDS: f64 = 1e6;

/// The three averages of /proc/loadavg.
pub fn loadavg(text: &[u8]) -> Option<[f64; 3]> {
    let mut loads = fields(text).map(float);
    Some([loads.next()??, loads.next()??, loads.next()??])
}

/// `loadavg`
pub struct LoadCollector(Kept);

impl LoadCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> LoadCollector {
        LoadCollector(Kept::new(places.proc.join("loadavg")))
    }
}

impl Collect for LoadCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let [one, five, fifteen] = loadavg(self.0.text(&mut scrape.buffer)?)?;
        scrape.out.one(&rows::LOAD1, one);
        scrape.out.one(&rows::LOAD15, fifteen);
        scrape.out.one(&rows::LOAD5, five);
        Some(())
    }
}

/// The first and the third number of /proc/sys/fs/file-nr: open files, and how many there may be.
pub fn file_nr(text: &[u8]) -> Option<(u64, u64)> {
    let mut numbers = fields(text).map(number);
    Some((numbers.next()??, numbers.nth(1)??))
}

/// `filefd`
pub struct FilefdCollector(Kept);

impl FilefdCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> FilefdCollector {
        FilefdCollector(Kept::new(places.proc.join("sys/fs/file-nr")))
    }
}

impl Collect for FilefdCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let (allocated, maximum) = file_nr(self.0.text(&mut scrape.buffer)?)?;
        scrape.out.one(&rows::FILEFD_ALLOCATED, allocated as f64);
        scrape.out.one(&rows::FILEFD_MAXIMUM, maximum as f64);
        Some(())
    }
}

/// Files that hold one number each, and their rows: `entropy`, `kernel_hung`.
pub struct NumbersCollector(Vec<(&'static Metric, Kept)>);

impl NumbersCollector {
    /// `entropy`
    pub fn entropy(places: &Places) -> NumbersCollector {
        let of = |name: &str| Kept::new(places.proc.join("sys/kernel/random").join(name));
        NumbersCollector(vec![
            (&rows::ENTROPY_AVAILABLE, of("entropy_avail")),
            (&rows::ENTROPY_POOL_SIZE, of("poolsize")),
        ])
    }

    /// `kernel_hung`
    pub fn kernel_hung(places: &Places) -> NumbersCollector {
        let file = Kept::new(places.proc.join("sys/kernel/hung_task_detect_count"));
        NumbersCollector(vec![(&rows::KERNEL_HUNG_TASKS, file)])
    }
}

impl Collect for NumbersCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        for (row, file) in &mut self.0 {
            let value = file.number(&mut scrape.buffer)?;
            scrape.out.one(row, value);
        }
        Some(())
    }
}

/// `total` of the line `some` or `full` of a file of /proc/pressure, microseconds.
pub fn pressure_total(text: &[u8], line: &[u8]) -> Option<u64> {
    let line = lines(text).find(|candidate| fields(candidate).next() == Some(line))?;
    fields(line).find_map(|field| field.strip_prefix(b"total=")).and_then(number)
}

/// `pressure`
pub struct PressureCollector([(Kept, Totals); 4]);

/// Rows, and the line of the file that each takes.
type Totals = &'static [(&'static Metric, &'static [u8])];

impl PressureCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> PressureCollector {
        let of = |name: &str| Kept::new(places.proc.join("pressure").join(name));
        PressureCollector([
            // Whole stalls of the CPU are defined for groups only.
            (of("cpu"), &[(&rows::PRESSURE_CPU_WAITING, b"some")]),
            (of("io"), &[(&rows::PRESSURE_IO_STALLED, b"full"), (&rows::PRESSURE_IO_WAITING, b"some")]),
            (of("irq"), &[(&rows::PRESSURE_IRQ_STALLED, b"full")]),
            (
                of("memory"),
                &[(&rows::PRESSURE_MEMORY_STALLED, b"full"), (&rows::PRESSURE_MEMORY_WAITING, b"some")],
            ),
        ])
    }
}

impl Collect for PressureCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let mut found = None;
        for (file, totals) in &mut self.0 {
            let text = match file.read(&mut scrape.buffer) {
                Ok(text) => text,
                // Kernels before 6.1 have none for interrupts, and before 4.20 none at all.
                Err(Errno::NOENT) => continue,
                // Switched off by `psi=0`.
                Err(_) => return None,
            };
            for (row, line) in *totals {
                scrape.out.one(row, pressure_total(text, line)? as f64 / MICROSECONDS);
            }
            found = Some(());
        }
        found
    }
}

/// CPU, nanoseconds running, nanoseconds waiting and time slices of the lines `cpuN` of /proc/schedstat.
pub fn schedstat(text: &[u8]) -> impl Iterator<Item = (&[u8], [u64; 3])> {
    lines(text).filter_map(|line| {
        let mut fields = fields(line);
        let cpu = fields.next()?.strip_prefix(b"cpu")?;
        number(cpu)?;
        let mut numbers = fields.skip(6).map(number);
        Some((cpu, [numbers.next()??, numbers.next()??, numbers.next()??]))
    })
}

/// `schedstat`
pub struct SchedstatCollector(Kept);

impl SchedstatCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> SchedstatCollector {
        SchedstatCollector(Kept::new(places.proc.join("schedstat")))
    }
}

impl Collect for SchedstatCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let text = self.0.text(&mut scrape.buffer)?;
        let mut cpus: Vec<_> = schedstat(text).map(|(cpu, values)| (shown(cpu), values)).collect();
        cpus.sort_by(|a, b| a.0.cmp(&b.0));
        let table = [
            (&rows::SCHEDSTAT_RUNNING, 0, NANOSECONDS),
            (&rows::SCHEDSTAT_TIMESLICES, 2, 1.0),
            (&rows::SCHEDSTAT_WAITING, 1, NANOSECONDS),
        ];
        for (row, index, divisor) in table {
            let samples =
                cpus.iter().map(|(cpu, values)| (cpu.as_str(), Some(values[index] as f64 / divisor)));
            scrape.out.each(row, "cpu", samples);
        }
        Some(())
    }
}

/// The zone's abbreviation and its seconds east of UTC; a system that names no zone has UTC.
fn time_zone(now: &jiff::Zoned) -> (String, i32) {
    if now.time_zone().is_unknown() {
        return ("UTC".to_owned(), 0);
    }
    (now.strftime("%Z").to_string(), now.offset().seconds())
}

/// `time`
pub struct TimeCollector {
    sources: Vec<(String, Kept, Kept)>,
}

impl TimeCollector {
    /// Asks /sys once which clocks there are.
    pub fn new(places: &Places) -> TimeCollector {
        let folder = places.sys.join("devices/system/clocksource");
        let devices = kept::list(&folder).unwrap_or_default().into_iter().filter_map(|name| {
            let device = name.strip_prefix("clocksource")?.to_owned();
            let of = |file: &str| Kept::new(folder.join(&name).join(file));
            Some((device, of("available_clocksource"), of("current_clocksource")))
        });
        TimeCollector { sources: devices.collect() }
    }
}

impl Collect for TimeCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        out.one(&rows::TIME, scrape.unix_seconds);
        let (mut available, mut current) = (Vec::new(), Vec::new());
        for (device, all, one) in &mut self.sources {
            let names = all.text(buffer).map(|text| fields(text).map(shown).collect::<Vec<_>>());
            available.extend(names.unwrap_or_default().into_iter().map(|name| (name, device.as_str())));
            current.extend(one.text(buffer).map(|text| (shown(text.trim_ascii()), device.as_str())));
        }
        for (row, mut sources) in
            [(&rows::CLOCKSOURCE_AVAILABLE, available), (&rows::CLOCKSOURCE_CURRENT, current)]
        {
            sources.sort();
            if !sources.is_empty() {
                out.family(row);
            }
            for (name, device) in &sources {
                out.sample(row.name, &[("clocksource", name), ("device", device)], 1.0);
            }
        }
        let (zone, offset_seconds) = time_zone(&jiff::Zoned::now());
        out.family(&rows::TIME_ZONE_OFFSET);
        out.sample(rows::TIME_ZONE_OFFSET.name, &[("time_zone", &zone)], f64::from(offset_seconds));
        Some(())
    }
}

/// `uname`
pub struct UnameCollector {
    /// The machine's name where this process has another.
    node_name: Option<String>,
}

impl UnameCollector {
    /// Asks nothing yet.
    pub fn new(places: &Places) -> UnameCollector {
        UnameCollector { node_name: places.node_name.clone() }
    }
}

impl Collect for UnameCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let name = rustix::system::uname();
        let own = name.nodename().to_string_lossy();
        let labels = [
            ("domainname", &*name.domainname().to_string_lossy()),
            ("machine", &*name.machine().to_string_lossy()),
            ("nodename", self.node_name.as_deref().unwrap_or(&own)),
            ("release", &*name.release().to_string_lossy()),
            ("sysname", &*name.sysname().to_string_lossy()),
            ("version", &*name.version().to_string_lossy()),
        ];
        scrape.out.family(&rows::UNAME_INFO);
        scrape.out.sample(rows::UNAME_INFO.name, &labels, 1.0);
        Some(())
    }
}

/// The lines `KEY=value` of os-release(5); values may stand in quotes.
pub fn os_release(text: &[u8]) -> HashMap<String, String> {
    let entries = lines(text).filter_map(|line| {
        let line = std::str::from_utf8(line.trim_ascii()).ok()?;
        let (key, value) = line.split_once('=').filter(|(key, _)| !key.starts_with('#'))?;
        Some((key.trim_end().to_owned(), unquoted(value.trim())))
    });
    entries.take(256).collect()
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let Some(inner) = inner else { continue };
        if quote == '\'' {
            return inner.to_owned();
        }
        let mut out = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            out.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        return out;
    }
    value.to_owned()
}

/// `^[0-9]+\.?[0-9]*`
pub fn major_minor(version: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(version);
    let fraction = version[whole..].strip_prefix('.').map_or(0, |rest| 1 + digits(rest));
    version[..whole + fraction].parse().ok().filter(|_| whole > 0).filter(|version| *version > 0.0)
}

/// `os`
pub struct OsCollector {
    files: Option<[PathBuf; 2]>,
    release: Aged<HashMap<String, String>>,
}

impl OsCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> OsCollector {
        let of = |path: &str| places.root.join(path);
        let files = places.machines_root.then(|| [of("etc/os-release"), of("usr/lib/os-release")]);
        OsCollector { files, release: Aged::default() }
    }
}

impl Collect for OsCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let files = self.files.as_ref()?;
        self.release.refresh(|| {
            let mut release = HashMap::new();
            for file in files {
                if let Ok(text) = kept::read(file, &mut scrape.buffer) {
                    release = os_release(text);
                    break;
                }
            }
            release
        });
        let release = self.release.get().filter(|release| !release.is_empty())?;
        let of = |key: &str| release.get(&key.to_uppercase()).map_or("", String::as_str);
        for (row, value) in [(&rows::OS_INFO, Some(1.0)), (&rows::OS_VERSION, major_minor(of("version_id")))]
        {
            let Some(value) = value else { continue };
            let labels: Vec<_> = row.labels.iter().map(|label| (*label, of(label))).collect();
            scrape.out.family(row);
            scrape.out.sample(row.name, &labels, value);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_and_files() {
        assert_eq!(loadavg(b"0.21 0.37 0.39 1/719 19737\n"), Some([0.21, 0.37, 0.39]));
        assert_eq!((loadavg(b"0.21 0.37"), loadavg(b"a b c")), (None, None));
        assert_eq!((file_nr(b"1184\t0\t9223\n"), file_nr(b"1 2")), (Some((1184, 9223)), None));
    }

    #[test]
    fn pressure() {
        let text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=14036781\nfull avg10=0.00 total=x\n";
        assert_eq!(pressure_total(text, b"some"), Some(14_036_781));
        assert_eq!((pressure_total(text, b"full"), pressure_total(b"", b"some")), (None, None));
    }

    #[test]
    fn scheduler() {
        let text = b"version 15\ncpu0 1 2 3 4 5 6 70 80 90\ndomain0 1\ncpu1 1 2\n";
        let cpus: Vec<_> = schedstat(text).collect();
        assert_eq!(cpus, [(&b"0"[..], [70, 80, 90])]);
    }

    #[test]
    fn names_of_systems() {
        let release = os_release(b"NAME=\"Debian \\\"x\\\"\"\nID=debian\nVERSION_ID='12.5'\n# A=b\nbroken\n");
        assert_eq!((release["NAME"].as_str(), release["VERSION_ID"].as_str()), ("Debian \"x\"", "12.5"));
        assert_eq!(release.len(), 3);
        for (version, expected) in [
            ("12", Some(12.0)),
            ("20.04.2", Some(20.04)),
            ("12.", Some(12.0)),
            ("", None),
            ("x", None),
            ("0", None),
        ] {
            assert_eq!(major_minor(version), expected, "{version}");
        }
    }
}

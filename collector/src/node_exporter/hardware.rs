//! Sensors, frequencies of CPUs and software RAID, where a machine has them.

use super::hwmon;
use super::kept::{self, Kept};
use super::text::{lines, number};
use super::{Collect, Places, Scrape, rows};
use crate::table::Metric;
use flyball_model::exposition::MetricType;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most sensors' values shown.
const MAX_VALUES: usize = 4096;

/// `hwmon`
pub struct HwmonCollector {
    folder: PathBuf,
}

impl HwmonCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> HwmonCollector {
        HwmonCollector { folder: places.sys.join("class/hwmon") }
    }

    /// The folders of the chips, and a name for each that no other has.
    fn chips(&self, buffer: &mut Vec<u8>) -> Option<Vec<(String, PathBuf)>> {
        let folders = kept::list(&self.folder).ok()?.into_iter().map(|name| self.folder.join(name));
        let mut found: Vec<(String, String, PathBuf)> = Vec::new();
        for folder in folders.filter(|folder| folder.is_dir()) {
            let name = kept::word(&folder.join("name"), buffer).unwrap_or_default();
            let device = folder.join("device").canonicalize().ok();
            let base = hwmon::chip_name(device.as_deref(), &name, &folder.canonicalize().ok()?)?;
            found.push((base, name, folder));
        }
        let chips = found.iter().map(|(base, name, folder)| {
            let same_base = found.iter().filter(|other| other.0 == *base).count();
            let same_both = found.iter().filter(|other| other.0 == *base && other.1 == *name).count();
            let chip = match hwmon::clean(name) {
                _ if same_base == 1 => base.clone(),
                suffix if same_both == 1 && !suffix.is_empty() => format!("{base}_{suffix}"),
                _ => format!(
                    "{base}_{}",
                    hwmon::clean(&folder.file_name().unwrap_or_default().to_string_lossy())
                ),
            };
            (chip, folder.clone())
        });
        Some(chips.collect())
    }
}

/// Family name, help, type; then chip and sensor to value.
type Families = BTreeMap<String, (String, MetricType, BTreeMap<(String, String), f64>)>;

impl Collect for HwmonCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        let mut families = Families::new();
        let (mut names, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for (chip, folder) in self.chips(buffer)? {
            if let Some(name) = kept::word(&folder.join("name"), buffer).map(|name| hwmon::clean(&name)) {
                names.insert((chip.clone(), name), ());
            }
            let sensors = read_sensors(&folder, buffer);
            for (sensor, elements) in &sensors {
                if let Some(label) = elements.get("label") {
                    labels.insert((chip.clone(), label.clone(), sensor.clone()), ());
                }
                for value in hwmon::values(sensor, elements) {
                    let family =
                        families.entry(value.name).or_insert((value.help, value.kind, BTreeMap::new()));
                    family.2.insert((chip.clone(), value.sensor), value.value);
                }
            }
        }
        for (name, (help, kind, samples)) in families.iter().take(MAX_VALUES) {
            out.named(name, help, *kind);
            for ((chip, sensor), value) in samples {
                out.sample(name, &[("chip", chip), ("sensor", sensor)], *value);
            }
        }
        if !names.is_empty() {
            out.family(&rows::HWMON_CHIP_NAMES);
        }
        for (chip, name) in names.keys() {
            out.sample(rows::HWMON_CHIP_NAMES.name, &[("chip", chip), ("chip_name", name)], 1.0);
        }
        if !labels.is_empty() {
            out.family(&rows::HWMON_SENSOR_LABEL);
        }
        for (chip, label, sensor) in labels.keys() {
            let labels = [("chip", chip.as_str()), ("label", label), ("sensor", sensor)];
            out.sample(rows::HWMON_SENSOR_LABEL.name, &labels, 1.0);
        }
        Some(())
    }
}

fn read_sensors(folder: &Path, buffer: &mut Vec<u8>) -> hwmon::Sensors {
    let mut sensors = hwmon::Sensors::new();
    for folder in [folder.to_owned(), folder.join("device")] {
        for file in kept::list(&folder).unwrap_or_default() {
            let Some((sensor, element)) = hwmon::sensor_of_file(&file) else { continue };
            if sensors.len() < MAX_VALUES
                && let Some(value) = kept::word(&folder.join(&file), buffer)
            {
                sensors.entry(sensor).or_default().insert(element, value);
            }
        }
    }
    sensors
}

/// Rows of the frequencies, and their files, kHz.
const FREQUENCIES: [(&Metric, &str); 7] = [
    (&rows::CPU_FREQUENCY_AVG, "cpuinfo_avg_freq"),
    (&rows::CPU_FREQUENCY, "cpuinfo_cur_freq"),
    (&rows::CPU_FREQUENCY_MAX, "cpuinfo_max_freq"),
    (&rows::CPU_FREQUENCY_MIN, "cpuinfo_min_freq"),
    (&rows::CPU_SCALING_FREQUENCY, "scaling_cur_freq"),
    (&rows::CPU_SCALING_FREQUENCY_MAX, "scaling_max_freq"),
    (&rows::CPU_SCALING_FREQUENCY_MIN, "scaling_min_freq"),
];
const KILOHERTZ: f64 = 1000.0;

/// `cpufreq`
pub struct CpufreqCollector {
    /// CPUs that have frequencies, ascending by label.
    cpus: Vec<(String, PathBuf)>,
}

impl CpufreqCollector {
    /// Asks /sys once which CPUs there are.
    pub fn new(places: &Places) -> CpufreqCollector {
        let folder = places.sys.join("devices/system/cpu");
        let cpus = kept::list(&folder).unwrap_or_default().into_iter().filter_map(|name| {
            let label = name.strip_prefix("cpu").filter(|label| number(label.as_bytes()).is_some())?;
            let folder = folder.join(&name).join("cpufreq");
            folder.is_dir().then(|| (label.to_owned(), folder))
        });
        CpufreqCollector { cpus: cpus.collect() }
    }
}

impl Collect for CpufreqCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let Scrape { out, buffer, .. } = scrape;
        for (row, file) in FREQUENCIES {
            let samples = self.cpus.iter().map(|(cpu, folder)| {
                let word = kept::word(&folder.join(file), buffer);
                (
                    cpu.as_str(),
                    word.and_then(|word| number(word.as_bytes())).map(|khz| khz as f64 * KILOHERTZ),
                )
            });
            out.each(row, "cpu", samples);
        }
        let mut begun = false;
        for (cpu, folder) in &self.cpus {
            let Some(governor) = kept::word(&folder.join("scaling_governor"), buffer) else { continue };
            let all = kept::word(&folder.join("scaling_available_governors"), buffer).unwrap_or_default();
            let mut all: Vec<&str> = all.split_whitespace().collect();
            all.sort_unstable();
            for one in all {
                if !begun {
                    out.family(&rows::CPU_SCALING_GOVERNOR);
                    begun = true;
                }
                let chosen = f64::from(u8::from(one == governor));
                out.sample(rows::CPU_SCALING_GOVERNOR.name, &[("cpu", cpu), ("governor", one)], chosen);
            }
        }
        Some(())
    }
}

/// One device of /proc/mdstat.
#[derive(Debug, PartialEq, Eq)]
pub struct Raid {
    name: String,
    state: &'static str,
    active: u64,
    failed: u64,
    spare: u64,
    required: u64,
    blocks: u64,
    blocks_synced: u64,
}

/// The devices of /proc/mdstat; one that is not understood is left out.
pub fn mdstat(text: &[u8]) -> Vec<Raid> {
    let all: Vec<&str> = lines(text).map(|line| std::str::from_utf8(line).unwrap_or("")).collect();
    let mut raids: Vec<Raid> = Vec::new();
    for (index, line) in all.iter().enumerate() {
        let is_device =
            !line.starts_with([' ', '\t']) && line.contains(" : ") && !line.starts_with("Personalities");
        if is_device {
            raids.extend(raid(line, all.get(index + 1..).unwrap_or_default()));
        }
    }
    raids.sort_by(|a, b| a.name.cmp(&b.name));
    raids.dedup_by(|a, b| a.name == b.name);
    raids
}

fn raid(line: &str, below: &[&str]) -> Option<Raid> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let word = words.nth(1)?;
    let count = |text: &str| line.matches(text).count() as u64;
    let status = below.first()?;
    let blocks = number(status.split_whitespace().next()?.as_bytes())?;
    let (required, active) = if line.contains("raid0") || line.contains("linear") {
        (count("["), count("["))
    } else if line.contains("inactive") {
        (0, 0)
    } else {
        pair(status, '/')?
    };
    // The lines of this device go on while they are indented.
    let mut rest = below[1..].iter().take_while(|line| line.starts_with([' ', '\t']));
    let sync = rest.find(|line| ["recovery", "reshape", "resync", "check"].iter().any(|w| line.contains(w)));
    let (state, blocks_synced) = match sync {
        None => (plain_state(word), blocks),
        Some(sync) if sync.contains("PENDING") || sync.contains("DELAYED") => (sync_state(sync), 0),
        Some(sync) => (sync_state(sync), synced(sync)?),
    };
    Some(Raid {
        name,
        state,
        active,
        failed: count("(F)"),
        spare: count("(S)"),
        required,
        blocks,
        blocks_synced,
    })
}

fn plain_state(word: &str) -> &'static str {
    match word {
        "active" => "active",
        "inactive" => "inactive",
        _ => "",
    }
}

fn sync_state(line: &str) -> &'static str {
    match () {
        () if line.contains("recovery") => "recovering",
        // Upstream shows none of the five states for it.
        () if line.contains("reshape") => "",
        () if line.contains("check") => "check",
        () => "resync",
    }
}

/// The first `[a/b]` of a line.
fn pair(line: &str, between: char) -> Option<(u64, u64)> {
    line.split('[').skip(1).find_map(|part| {
        let (a, b) = part.split(']').next()?.split_once(between)?;
        Some((number(a.as_bytes())?, number(b.as_bytes())?))
    })
}

/// `(a/b)` of a line: a.
fn synced(line: &str) -> Option<u64> {
    let inside = line.split('(').nth(1)?.split('/').next()?;
    number(inside.as_bytes())
}

/// The states of which one has the value 1.
const MD_STATES: [(&str, &str); 5] = [
    ("active", "active"),
    ("check", "check"),
    ("inactive", "inactive"),
    ("recovering", "recovering"),
    ("resync", "resync"),
];

type Count = fn(&Raid) -> u64;

/// `mdadm`
pub struct MdadmCollector(Kept);

impl MdadmCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> MdadmCollector {
        MdadmCollector(Kept::new(places.proc.join("mdstat")))
    }
}

impl Collect for MdadmCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let raids = mdstat(self.0.text(&mut scrape.buffer)?);
        let out = &mut scrape.out;
        let numbers: [(&Metric, Count); 3] = [
            (&rows::MD_BLOCKS, |raid| raid.blocks),
            (&rows::MD_BLOCKS_SYNCED, |raid| raid.blocks_synced),
            (&rows::MD_DISKS_REQUIRED, |raid| raid.required),
        ];
        for (row, of) in numbers {
            out.each(row, "device", raids.iter().map(|raid| (raid.name.as_str(), Some(of(raid) as f64))));
        }
        for (index, row) in [&rows::MD_DISKS, &rows::MD_STATE].into_iter().enumerate() {
            if !raids.is_empty() {
                out.family(row);
            }
            for raid in &raids {
                let disks = [("active", raid.active), ("failed", raid.failed), ("spare", raid.spare)];
                let states = MD_STATES.map(|(label, state)| (label, u64::from(raid.state == state)));
                let samples: &[(&str, u64)] = if index == 0 { &disks } else { &states };
                for (state, value) in samples {
                    out.sample(row.name, &[("device", &raid.name), ("state", state)], *value as f64);
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MDSTAT: &[u8] = b"Personalities : [raid1] [raid6]\n\
        md3 : active raid6 sda1[8] sdh1[7](F) sdg1[6](S)\n\
        \x20     5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/7] [UUUUUUU_]\n\
        \x20     [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec\n\n\
        md0 : active raid0 sda[0] sdb[1]\n      310 blocks super 1.2 512k chunks\n\n\
        md9 : inactive sdi2[0](S)\n      4192 blocks super 1.2\n\n\
        md1 : active raid1 sdb[0] sdc[1]\n      100 blocks [2/2] [UU]\n      \tresync=DELAYED\n\n\
        md7 : active raid1 sdx\nunused devices: <none>\n";

    #[test]
    fn software_raid() {
        let raids = mdstat(MDSTAT);
        let names: Vec<_> = raids.iter().map(|raid| (raid.name.as_str(), raid.state)).collect();
        assert_eq!(names, [("md0", "active"), ("md1", "resync"), ("md3", "recovering"), ("md9", "inactive")]);
        let md3 = &raids[2];
        assert_eq!((md3.required, md3.active, md3.failed, md3.spare), (8, 7, 1, 1));
        assert_eq!((md3.blocks, md3.blocks_synced), (5_853_468_288, 16_775_552));
        assert_eq!((raids[0].required, raids[0].blocks_synced), (2, 310));
        assert_eq!((raids[1].blocks_synced, raids[3].required), (0, 0));
    }
}

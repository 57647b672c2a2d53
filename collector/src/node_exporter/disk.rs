//! /proc/diskstats, and what /sys and udev know about the disks.

use super::kept::{self, Kept};
use super::text::{fields, lines, number, shown};
use super::{Aged, Collect, Places, Scrape, rows};
use crate::table::Metric;
use std::collections::HashMap;
use std::path::PathBuf;

/// Most disks shown.
const MAX_DISKS: usize = 4096;
/// Numbers of a line that are shown.
const VALUES: usize = 17;
const SECTOR_BYTES: f64 = 512.0;
const TICK_SECONDS: f64 = 1.0 / 1000.0;

/// One line of diskstats.
#[derive(Debug, PartialEq, Eq)]
pub struct Disk<'a> {
    /// Numbers of the device.
    pub major: u64,
    /// Numbers of the device.
    pub minor: u64,
    /// Name of the device.
    pub name: &'a [u8],
    /// As many of the numbers after the name as this kernel prints; [`VALUES`] at most.
    pub values: [Option<u64>; VALUES],
}

/// The disks of which upstream shows something by default. A line that is not understood is left out.
pub fn diskstats(text: &[u8]) -> impl Iterator<Item = Disk<'_>> {
    lines(text).filter_map(|line| {
        let mut fields = fields(line);
        let major = number(fields.next()?)?;
        let minor = number(fields.next()?)?;
        let name = fields.next()?;
        if ignored(name) {
            return None;
        }
        let mut values = [None; VALUES];
        for (slot, field) in values.iter_mut().zip(fields) {
            *slot = Some(number(field)?);
        }
        values[0].map(|_| Disk { major, minor, name, values })
    })
}

/// `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`
pub fn ignored(name: &[u8]) -> bool {
    let end = name.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    let (start, digits) = name.split_at(end);
    if digits.is_empty() {
        return false;
    }
    match start {
        b"ram" | b"zram" | b"loop" | b"fd" => true,
        [b'h' | b's' | b'v', b'd', letter] | [b'x', b'v', b'd', letter] => letter.is_ascii_lowercase(),
        _ => is_nvme_partition(start),
    }
}

/// `nvme\d+n\d+p`
fn is_nvme_partition(start: &[u8]) -> bool {
    let Some(rest) = start.strip_prefix(b"nvme").and_then(|rest| rest.strip_suffix(b"p")) else {
        return false;
    };
    let mut numbers = rest.split(|byte| *byte == b'n');
    let is_number =
        |part: Option<&[u8]>| part.is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
    is_number(numbers.next()) && is_number(numbers.next()) && numbers.next().is_none()
}

/// The properties (`E:KEY=VALUE`) of a device in udev's database.
pub fn udev_properties(text: &[u8]) -> HashMap<String, String> {
    let properties = lines(text).filter_map(|line| {
        let mut parts = line.strip_prefix(b"E:")?.splitn(2, |byte| *byte == b'=').map(shown);
        Some((parts.next()?, parts.next()?))
    });
    properties.take(1024).collect()
}

/// Row, place in the line and factor of each value.
const STATS: [(&Metric, usize, f64); VALUES] = [
    (&rows::DISK_DISCARD_TIME, 14, TICK_SECONDS),
    (&rows::DISK_DISCARDED_SECTORS, 13, 1.0),
    (&rows::DISK_DISCARDS_COMPLETED, 11, 1.0),
    (&rows::DISK_DISCARDS_MERGED, 12, 1.0),
    (&rows::DISK_FLUSH_TIME, 16, TICK_SECONDS),
    (&rows::DISK_FLUSHES, 15, 1.0),
    (&rows::DISK_IO_NOW, 8, 1.0),
    (&rows::DISK_IO_TIME, 9, TICK_SECONDS),
    (&rows::DISK_IO_TIME_WEIGHTED, 10, TICK_SECONDS),
    (&rows::DISK_READ_BYTES, 2, SECTOR_BYTES),
    (&rows::DISK_READ_TIME, 3, TICK_SECONDS),
    (&rows::DISK_READS_COMPLETED, 0, 1.0),
    (&rows::DISK_READS_MERGED, 1, 1.0),
    (&rows::DISK_WRITE_TIME, 7, TICK_SECONDS),
    (&rows::DISK_WRITES_COMPLETED, 4, 1.0),
    (&rows::DISK_WRITES_MERGED, 5, 1.0),
    (&rows::DISK_WRITTEN_BYTES, 6, SECTOR_BYTES),
];

/// What changes only when a disk does.
#[derive(Default)]
struct Facts {
    rotational: &'static str,
    udev: HashMap<String, String>,
}

/// `diskstats`
pub struct DiskCollector {
    file: Kept,
    block: PathBuf,
    udev: PathBuf,
    facts: HashMap<(u64, u64, String), Aged<Facts>>,
}

impl DiskCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> DiskCollector {
        DiskCollector {
            file: Kept::new(places.proc.join("diskstats")),
            block: places.sys.join("block"),
            udev: places.root.join("run/udev/data"),
            facts: HashMap::new(),
        }
    }

    fn find_facts(&mut self, disk: &(u64, u64, String)) {
        let facts = self.facts.entry(disk.clone()).or_default();
        let (block, udev) = (&self.block, &self.udev);
        facts.refresh(|| {
            let mut buffer = Vec::new();
            let rotational = kept::word(&block.join(&disk.2).join("queue/rotational"), &mut buffer);
            let data = kept::read(&udev.join(format!("b{}:{}", disk.0, disk.1)), &mut buffer);
            Facts {
                // As upstream, 0 where it is not known.
                rotational: if rotational.as_deref() == Some("1") { "1" } else { "0" },
                udev: data.map(udev_properties).unwrap_or_default(),
            }
        });
    }

    fn write_facts(&self, scrape: &mut Scrape, disks: &[(u64, u64, String)]) {
        let out = &mut scrape.out;
        let known = |disk| self.facts.get(disk).and_then(Aged::get);
        if !disks.is_empty() {
            out.family(&rows::DISK_INFO);
        }
        for disk in disks {
            let Some(facts) = known(disk) else { continue };
            let of = |key| facts.udev.get(key).map_or("", String::as_str);
            let mut serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"].into_iter().map(of);
            let labels = [
                ("device", disk.2.as_str()),
                ("major", &disk.0.to_string()),
                ("minor", &disk.1.to_string()),
                ("model", of("ID_MODEL")),
                ("path", of("ID_PATH")),
                ("revision", of("ID_REVISION")),
                ("rotational", facts.rotational),
                ("serial", serial.find(|serial| !serial.is_empty()).unwrap_or("")),
                ("wwn", of("ID_WWN")),
            ];
            out.sample(rows::DISK_INFO.name, &labels, 1.0);
        }
        let tables: [(&Metric, &str, &[&str]); 2] = [
            (
                &rows::DISK_DEVICE_MAPPER_INFO,
                "DM_NAME",
                &["DM_LV_LAYER", "DM_LV_NAME", "DM_NAME", "DM_UUID", "DM_VG_NAME"],
            ),
            (
                &rows::DISK_FILESYSTEM_INFO,
                "ID_FS_TYPE",
                &["ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_UUID", "ID_FS_VERSION"],
            ),
        ];
        for (row, needed, keys) in tables {
            let mut begun = false;
            for disk in disks {
                let Some(facts) = known(disk) else { continue };
                let of = |key: &str| facts.udev.get(key).map_or("", String::as_str);
                if of(needed).is_empty() {
                    continue;
                }
                if !begun {
                    out.family(row);
                    begun = true;
                }
                let mut labels = vec![("device", disk.2.as_str())];
                labels.extend(row.labels[1..].iter().zip(keys).map(|(label, key)| (*label, of(key))));
                out.sample(row.name, &labels, 1.0);
            }
        }
    }
}

impl Collect for DiskCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let text = self.file.text(&mut scrape.buffer)?;
        let mut disks: Vec<(String, Disk<'_>)> =
            diskstats(text).take(MAX_DISKS).map(|disk| (shown(disk.name), disk)).collect();
        disks.sort_by(|a, b| a.0.cmp(&b.0));
        disks.dedup_by(|a, b| a.0 == b.0);
        for (row, index, factor) in STATS {
            let samples = disks
                .iter()
                .map(|(name, disk)| (name.as_str(), disk.values[index].map(|v| v as f64 * factor)));
            scrape.out.each(row, "device", samples);
        }
        let disks: Vec<_> = disks.into_iter().map(|(name, disk)| (disk.major, disk.minor, name)).collect();
        for disk in &disks {
            self.find_facts(disk);
        }
        self.facts.retain(|known, _| disks.contains(known));
        self.write_facts(scrape, &disks);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_memory_disks_are_left_out() {
        for name in
            ["ram0", "zram1", "loop12", "fd0", "sda1", "hdb2", "vdc3", "xvda1", "nvme0n1p1", "nvme10n2p33"]
        {
            assert!(ignored(name.as_bytes()), "{name}");
        }
        for name in
            ["sda", "vda", "xvda", "nvme0n1", "dm-0", "md0", "sdaa1", "mmcblk0p1", "nvmen1p1", "zram", ""]
        {
            assert!(!ignored(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn diskstats_of_old_and_new_kernels() {
        let text = b" 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n\
            8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\nbroken\n8 0 sdb 1 x\n8 0 sdc\n";
        let disks: Vec<_> = diskstats(text).collect();
        assert_eq!(disks.len(), 2);
        assert_eq!((disks[0].name, disks[0].major, disks[0].values[16]), (&b"vda"[..], 254, Some(17)));
        assert_eq!((disks[1].values[10], disks[1].values[11]), (Some(11), None));
    }

    #[test]
    fn udevs_database() {
        let text = b"S:disk/by-id/x\nE:ID_MODEL=QEMU=1\nE:ID_WWN=0x5\nE:broken\nI:7\n";
        let properties = udev_properties(text);
        assert_eq!(properties.len(), 2);
        assert_eq!(properties["ID_MODEL"], "QEMU=1");
    }
}

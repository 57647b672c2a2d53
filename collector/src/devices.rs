//! Names of block devices by their numbers, from `/proc/partitions`; read again now and then, as disks come and go.

use crate::details::DiskTotals;
use crate::files;
use crate::node_exporter::disk;
use crate::readers::DEVICES_LIMIT;
use crate::slow::RARE_SWEEPS;
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::sync::Arc;

/// Names by major and minor number.
pub type DeviceNames = HashMap<(u32, u32), Arc<str>>;

/// The names known now.
#[derive(Debug, Default)]
pub struct Devices {
    known: Arc<DeviceNames>,
    read_sequence: u64,
}

impl Devices {
    /// The names; read anew when the last reading is old.
    pub fn names(&mut self, proc_root: &OwnedFd, sequence: u64, buffer: &mut [u8]) -> Arc<DeviceNames> {
        if self.read_sequence == 0 || sequence.saturating_sub(self.read_sequence) >= RARE_SWEEPS {
            self.read_sequence = sequence;
            if let Ok(text) = files::read_at(proc_root, "partitions", buffer)
                && !is_told_by(&self.known, text)
            {
                self.known = Arc::new(parse(text));
            }
        }
        self.known.clone()
    }
}

/// Lines `major minor #blocks name`, after a heading.
pub fn parse(text: &[u8]) -> DeviceNames {
    entries(text).map(|(numbers, name)| (numbers, Arc::from(name))).collect()
}

fn entries(text: &[u8]) -> impl Iterator<Item = ((u32, u32), &str)> {
    let entry = |line| {
        let mut words = str::split_ascii_whitespace(line);
        let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((numbers, words.nth(1)?))
    };
    std::str::from_utf8(text).unwrap_or_default().lines().filter_map(entry).take(DEVICES_LIMIT)
}

/// Whether a text has these names and no others.
fn is_told_by(names: &DeviceNames, text: &[u8]) -> bool {
    let same =
        |(numbers, name): ((u32, u32), &str)| names.get(&numbers).is_some_and(|known| **known == *name);
    entries(text).count() == names.len() && entries(text).all(same)
}

/// What `/proc/diskstats` says of the whole disks.
pub fn disk_totals(diskstats: &[u8]) -> impl Iterator<Item = DiskTotals> {
    disk::diskstats(diskstats).take(DEVICES_LIMIT).filter_map(|disk| {
        let value = |number: usize| disk.values.get(number).copied().flatten();
        Some(DiskTotals {
            device: (u32::try_from(disk.major).ok()?, u32::try_from(disk.minor).ok()?),
            reads_merged: value(1),
            sectors_read: value(2),
            read_ms: value(3),
            writes_merged: value(5),
            sectors_written: value(6),
            write_ms: value(7),
            in_progress: value(8),
            io_ms: value(9),
            weighted_io_ms: value(10),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_disks() {
        let text = b" 259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 0 0 0 0 0 0\n 259 1 nvme0n1p1 1 2 3 4 5 6 7 8 9 10 11\n 8 0 sda 1 2 3\n x\n";
        let found: Vec<_> = disk_totals(text).collect();
        let nvme = DiskTotals {
            device: (259, 0),
            reads_merged: Some(2),
            sectors_read: Some(3),
            read_ms: Some(4),
            writes_merged: Some(6),
            sectors_written: Some(7),
            write_ms: Some(8),
            in_progress: Some(9),
            io_ms: Some(10),
            weighted_io_ms: Some(11),
        };
        assert_eq!(found[0], nvme);
        assert_eq!((found.len(), found[1].device, found[1].read_ms), (2, (8, 0), None));
    }

    #[test]
    fn partitions() {
        let names = parse(b"major minor  #blocks  name\n\n 254        0  264241152 vda\n 259        1       1024 nvme0n1p1\n 7 x\n");
        assert_eq!(names.len(), 2);
        assert_eq!(&*names[&(259, 1)], "nvme0n1p1");
        assert!(parse(b"\xff 1 2 x").is_empty());
        assert!(is_told_by(&names, b" 259 1 7 nvme0n1p1\n 254 0 7 vda\n"));
        for other in [&b"254 0 7 vda\n"[..], b"254 0 7 vdb\n259 1 7 nvme0n1p1\n", b""] {
            assert!(!is_told_by(&names, other));
        }
    }
}

//! Names of block devices by their numbers, from `/proc/partitions`; read again now and then, as disks come and go.

use crate::files;
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
            if let Ok(text) = files::read_at(proc_root, "partitions", buffer) {
                self.known = Arc::new(parse(text));
            }
        }
        self.known.clone()
    }
}

/// Lines `major minor #blocks name`, after a heading.
pub fn parse(text: &[u8]) -> DeviceNames {
    let Ok(text) = std::str::from_utf8(text) else { return DeviceNames::new() };
    let entry = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((numbers, Arc::from(words.nth(1)?)))
    };
    text.lines().filter_map(entry).take(DEVICES_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        let names = parse(b"major minor  #blocks  name\n\n 254        0  264241152 vda\n 259        1       1024 nvme0n1p1\n 7 x\n");
        assert_eq!(names.len(), 2);
        assert_eq!(&*names[&(259, 1)], "nvme0n1p1");
        assert!(parse(b"\xff 1 2 x").is_empty());
    }
}

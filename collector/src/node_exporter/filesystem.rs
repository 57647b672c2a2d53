//! Sizes of the mounted file systems.
//!
//! statfs(2) of a mount whose server is gone waits for ever. So a thread of its own asks, and the scrape waits for it a
//! quarter of a second at most. A mount that has not answered by then is left to that thread, and another goes on with
//! the rest: for five seconds its sizes are absent, then it has `node_filesystem_device_error` 1, until it answers.

use super::kept::Kept;
use super::mounts::{Mount, mounts};
use super::statfs::{Answer, Stat, Statfs, ask_kernel};
use super::{Collect, Places, Scrape, rows};
use crate::table::Metric;
use std::path::PathBuf;

/// Most mounts shown.
const MAX_MOUNTS: usize = 4096;

type Size = fn(&Stat) -> f64;

const SIZES: [(&Metric, Size); 5] = [
    (&rows::FILESYSTEM_AVAIL, |stat| stat.avail_bytes),
    (&rows::FILESYSTEM_FILES, |stat| stat.files),
    (&rows::FILESYSTEM_FILES_FREE, |stat| stat.files_free),
    (&rows::FILESYSTEM_FREE, |stat| stat.free_bytes),
    (&rows::FILESYSTEM_SIZE, |stat| stat.size_bytes),
];

/// `filesystem`
pub struct FilesystemCollector {
    mountinfo: Option<Kept>,
    root: PathBuf,
    statfs: Statfs,
}

impl FilesystemCollector {
    /// Opens nothing yet.
    pub fn new(places: &Places) -> FilesystemCollector {
        FilesystemCollector {
            mountinfo: places.mountinfo.clone().map(Kept::new),
            root: places.statfs_root.clone(),
            statfs: Statfs::new(ask_kernel),
        }
    }
}

impl Collect for FilesystemCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let text = self.mountinfo.as_mut()?.text(&mut scrape.buffer)?;
        let mut mounts: Vec<Mount> = mounts(text).take(MAX_MOUNTS).collect();
        // Below the root as it is seen from here.
        let paths =
            mounts.iter().map(|mount| self.root.join(mount.path.strip_prefix("/").unwrap_or(&mount.path)));
        let answers = self.statfs.ask(paths.collect());
        let mut seen: Vec<(Mount, Answer)> = mounts.drain(..).zip(answers).collect();
        let key = |(mount, answer): &(Mount, Answer)| {
            let error = answer.error().unwrap_or("").to_owned();
            (mount.device.clone(), error, mount.fstype.clone(), mount.mountpoint.clone())
        };
        seen.sort_by_cached_key(key);
        seen.dedup_by_key(|entry| key(entry));
        write(scrape, &seen);
        Some(())
    }
}

fn write(scrape: &mut Scrape, seen: &[(Mount, Answer)]) {
    let mut family = |row: &Metric, value: &dyn Fn(&Mount, &Answer) -> Option<f64>| {
        let mut begun = false;
        for (mount, answer) in seen {
            let Some(value) = value(mount, answer) else { continue };
            if !begun {
                scrape.out.family(row);
                begun = true;
            }
            let labels = [
                ("device", mount.device.as_str()),
                ("device_error", answer.error().unwrap_or("")),
                ("fstype", mount.fstype.as_str()),
                ("mountpoint", mount.mountpoint.as_str()),
            ];
            scrape.out.sample(row.name, &labels, value);
        }
    };
    for (row, size) in SIZES {
        family(row, &|_, answer| answer.stat().map(size));
    }
    family(&rows::FILESYSTEM_DEVICE_ERROR, &|_, answer| match answer {
        Answer::Silent => None,
        Answer::Stat(_) => Some(0.0),
        Answer::Error(_) => Some(1.0),
    });
    family(&rows::FILESYSTEM_READONLY, &|mount, _| Some(f64::from(u8::from(mount.readonly))));
    write_mount_info(scrape, seen);
}

fn write_mount_info(scrape: &mut Scrape, seen: &[(Mount, Answer)]) {
    let mut answered = seen.iter().filter(|(_, answer)| answer.stat().is_some()).peekable();
    if answered.peek().is_some() {
        scrape.out.family(&rows::FILESYSTEM_MOUNT_INFO);
    }
    let mut mounts: Vec<_> = answered
        .map(|(mount, _)| {
            (&mount.device, mount.major.to_string(), mount.minor.to_string(), &mount.mountpoint)
        })
        .collect();
    mounts.sort();
    mounts.dedup();
    for (device, major, minor, mountpoint) in mounts {
        let labels =
            [("device", device.as_str()), ("major", &major), ("minor", &minor), ("mountpoint", mountpoint)];
        scrape.out.sample(rows::FILESYSTEM_MOUNT_INFO.name, &labels, 1.0);
    }
}

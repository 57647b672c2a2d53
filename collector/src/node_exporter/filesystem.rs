//! Sizes of the mounted file systems.
//!
//! statfs(2) of a mount whose server is gone waits for ever. So a thread of its own asks, and the scrape waits for it a
//! quarter of a second at most. A mount that has not answered by then is left to that thread, and another goes on with
//! the rest: for five seconds its sizes are absent, then it has `node_filesystem_device_error` 1, until it answers. Where
//! no server can be on the way, at file systems of memory and disks below nothing else, the scrape asks itself: two threads
//! that wait for one another cost more than the answers.

use super::kept::Kept;
use super::mounts::{Mount, may_wait, mounts};
use super::statfs::{Answer, Stat, Statfs, ask_kernel};
use super::{Collect, Places, Scrape, rows};
use crate::table::Metric;
use std::path::{Path, PathBuf};

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

impl FilesystemCollector {
    /// `paths`, and whether each is asked by this thread.
    fn ask(&mut self, paths: Vec<(PathBuf, bool)>) -> Vec<Answer> {
        let mut answers = vec![Answer::Silent; paths.len()];
        let (mut there, mut asked) = (Vec::new(), Vec::new());
        for (index, (path, local)) in paths.into_iter().enumerate() {
            if local {
                answers[index] = ask_kernel(&path);
            } else {
                there.push(index);
                asked.push(path);
            }
        }
        if !asked.is_empty() {
            for (index, answer) in there.into_iter().zip(self.statfs.ask(asked)) {
                answers[index] = answer;
            }
        }
        answers
    }
}

/// Whether a path leads through memory and disks alone.
fn is_local(path: &Path, far: &[PathBuf]) -> bool {
    !far.iter().any(|far| path.starts_with(far))
}

impl Collect for FilesystemCollector {
    fn collect(&mut self, scrape: &mut Scrape) -> Option<()> {
        let text = self.mountinfo.as_mut()?.text(&mut scrape.buffer)?;
        let far = may_wait(text);
        let mut mounts: Vec<Mount> = mounts(text).take(MAX_MOUNTS).collect();
        // Below the root as it is seen from here.
        let paths =
            mounts.iter().map(|mount| self.root.join(mount.path.strip_prefix("/").unwrap_or(&mount.path)));
        let local = mounts.iter().map(|mount| is_local(&mount.path, &far));
        let answers = self.ask(paths.zip(local).collect());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_server_is_not_asked_here() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 0:30 / /mnt rw - nfs4 server:/x rw\n\
            3 2 8:2 / /mnt/disk rw - xfs /dev/vdb rw\n4 1 0:31 / /run rw - tmpfs none rw\n\
            5 1 8:3 / /mnt2 rw - ext4 /dev/vdc rw\n6 1 0:32 / /srv rw - fuse.sshfs host: rw\n\
            7 1 0:33 / /home rw - autofs auto rw\n8 7 8:4 / /home/a rw - ext4 /dev/vdd rw\n\
            9 1 0:34 / /proc rw - proc proc rw\n";
        let far = may_wait(text);
        let seen: Vec<bool> = mounts(text).map(|mount| is_local(&mount.path, &far)).collect();
        assert_eq!(seen, [true, false, false, true, true, false, false]);
    }
}

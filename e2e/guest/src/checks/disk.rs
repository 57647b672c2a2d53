//! Input and output, as the kernel attributes it to groups.

use flyball_collector::details::DeviceIo;
use flyball_collector::layout::Qos;

use super::{MIB, UID, details, id};
use crate::evidence::Evidence;
use crate::groups::{Driver, Group, Tree};
use crate::kernel;
use crate::machine::{DISK, disk_number};
use crate::running::Load;

pub fn bytes_past_the_cache(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("direct", Driver::Cgroupfs);
    let parent = tree.pod(Qos::Burstable, UID)?;
    let group = tree.container(&parent, &id(1))?;
    let path = format!("{DISK}/direct");
    let load = Load::start(&group, &["direct", &path, "12"])?;
    evidence.near("kernel: written, bytes", io(&group, "wbytes")?, load.told("written")?, MIB / 2);
    evidence.near("kernel: read, bytes", io(&group, "rbytes")?, load.told("read")?, MIB / 2);
    evidence.near(
        "kernel: written in the pod, bytes",
        io(&parent, "wbytes")?,
        load.told("written")?,
        MIB / 2,
    );
    let seen = shown(&tree)?;
    evidence.near("written, bytes", seen.written_bytes, load.told("written")?, MIB / 2);
    evidence.near("read, bytes", seen.read_bytes, load.told("read")?, MIB / 2);
    evidence.equal("writes", seen.writes, Some(io(&group, "wios")?));
    let writes = io(&group, "wios")?;
    evidence.holds("kernel: writes", writes > 0, writes);
    drop(load);
    std::fs::remove_file(path)?;
    Ok(())
}

/// Written to the page cache first: the kernel attributes what is written back to the group that made the pages dirty.
pub fn bytes_written_back(evidence: &mut Evidence) -> anyhow::Result<()> {
    let tree = Tree::new("writeback", Driver::Systemd);
    let group = tree.container(&tree.pod(Qos::Burstable, UID)?, &id(1))?;
    let path = format!("{DISK}/buffered");
    let load = Load::start(&group, &["file", &path, "12"])?;
    evidence.near("kernel: written, bytes", io(&group, "wbytes")?, load.told("bytes")?, MIB / 2);
    evidence.near("written, bytes", shown(&tree)?.written_bytes, load.told("bytes")?, MIB / 2);
    evidence.near("kernel: read, bytes", io(&group, "rbytes")?, 0, MIB / 2);
    drop(load);
    std::fs::remove_file(path)?;
    Ok(())
}

/// What the collector shows of the disk; nothing where it shows no such device.
fn shown(tree: &Tree) -> anyhow::Result<DeviceIo> {
    let number = disk_number()?;
    let details = details(tree, &id(1))?;
    let of_disk = details.io.iter().find(|io| format!("{}:{}", io.device.0, io.device.1) == number);
    Ok(of_disk.copied().unwrap_or_default())
}

fn io(group: &Group, key: &str) -> anyhow::Result<u64> {
    kernel::in_line(&group.file("io.stat"), &disk_number()?, key)
}

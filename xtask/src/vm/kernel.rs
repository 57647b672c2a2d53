//! The kernel that is booted: the one that Debian's package for virtual machines names now, downloaded once.
//!
//! Nothing is installed: the package is unpacked in memory, and only the kernel's file is kept. Disk (NVMe), file system
//! (ext4), serial console and every control group controller are built into that kernel, so no module is needed.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// Package that depends on the newest kernel package.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// Start of the kernel's path in a kernel package.
const KERNEL_PATH: &str = "./boot/vmlinuz-";
/// Start of the names under which kernels are kept.
const KEPT_PREFIX: &str = "vmlinuz-";

/// The kernel kept in `folder`; downloaded there if there is none.
pub fn get(folder: &Path) -> anyhow::Result<PathBuf> {
    if let Some(kept) = newest_kept(folder)? {
        return Ok(kept);
    }
    let package = package(&output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?)
        .with_context(|| format!("apt-cache knows no kernel of {META_PACKAGE}; is `apt-get update` due?"))?;
    let downloads = tempfile::tempdir_in(folder).context("cannot make a temporary folder")?;
    println!("+ apt-get download {package}");
    output(Command::new("apt-get").args(["-qq", "download", &package]).current_dir(downloads.path()))?;
    let archive = std::fs::read_dir(downloads.path())?.flatten().map(|entry| entry.path()).next();
    let archive = archive.context("apt-get downloaded nothing")?;
    let files = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&archive).output();
    let files = files.context("cannot start dpkg-deb")?;
    ensure!(files.status.success(), "dpkg-deb cannot read {}", archive.display());
    let (version, kernel) = kernel_in(&files.stdout)?;
    let path = folder.join(format!("{KEPT_PREFIX}{version}"));
    // Under its own name only when complete: the next run takes what bears it.
    let unfinished = folder.join("unfinished-kernel");
    std::fs::write(&unfinished, kernel).with_context(|| unfinished.display().to_string())?;
    std::fs::rename(&unfinished, &path).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn newest_kept(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let kept = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(KEPT_PREFIX));
    Ok(kept
        .max_by_key(|entry| entry.metadata().and_then(|file| file.modified()).ok())
        .map(|entry| entry.path()))
}

/// The kernel package among the lines of `apt-cache depends`.
fn package(depends: &str) -> Option<String> {
    let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

/// Version and bytes of the kernel in a package's files.
fn kernel_in(tar: &[u8]) -> anyhow::Result<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(Cursor::new(tar));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        if let Some(version) = path.strip_prefix(KERNEL_PATH) {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes)?;
            return Ok((version.to_owned(), bytes));
        }
    }
    bail!("the package holds no {KERNEL_PATH}*")
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} ended with {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_package_names_the_kernel_package() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(package(text).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(package("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn the_kernel_is_taken_out_of_the_package() {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in [("./boot/config-6.1", "no"), ("./boot/vmlinuz-6.1", "yes")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        assert_eq!(kernel_in(&tar).unwrap(), ("6.1".to_owned(), b"yes".to_vec()));
        assert!(kernel_in(&[0; 1024]).is_err());
    }
}

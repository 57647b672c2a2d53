//! Programs that need nothing but the kernel: `flyball` in the image, and what the virtual machine of `vm-test` runs.
//!
//! Only the last crate is compiled and linked apart (`-C target-feature=+crt-static`); everything below it is shared with
//! the ordinary build. glibc's resolver needs no plug-ins for `/etc/hosts` and DNS since 2.34.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Architecture, Profile};
use crate::cargo::cargo;

/// Type of the program header that names a dynamic linker.
const PT_INTERP: u32 = 3;

/// A program of the workspace: its crate, and its own name.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The crate.
    pub package: &'static str,
    /// The program.
    pub name: &'static str,
}

/// What users run.
pub const FLYBALL: Program = Program { package: "flyball-cli", name: "flyball" };

/// Builds a program and says where cargo left it.
pub fn build(program: Program, architecture: Architecture, profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.args(["rustc", "--locked", "--package", program.package, "--bin", program.name]);
    command.arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        command.arg("--release");
    }
    if architecture != Architecture::of_this_machine()? {
        cross(&mut command, architecture)?;
    }
    // Line tables would be most of the image; names of functions in backtraces stay.
    command.args(["--", "-C", "target-feature=+crt-static", "-C", "strip=debuginfo"]);
    println!("+ {}", shown(&command));
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo rustc ended with {}", output.status);
    }
    let path = executable(&String::from_utf8_lossy(&output.stdout)).context("cargo named no program")?;
    check(&path)?;
    Ok(path)
}

/// Adds what a build for another architecture needs, or says what is missing.
fn cross(command: &mut Command, architecture: Architecture) -> anyhow::Result<()> {
    let (target, linker) = (architecture.target(), architecture.linker());
    let library = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot start rustc")?;
    let library = PathBuf::from(String::from_utf8_lossy(&library.stdout).trim());
    let has_library = library.is_dir();
    let has_linker = super::has_program(linker);
    if !has_library || !has_linker {
        bail!(
            "an image for {architecture} needs Rust's library for it (`rustup target add {target}`) and a cross compiler \
             (Debian: `apt-get install {}`); {} missing here",
            architecture.linker_package(),
            match (has_library, has_linker) {
                (false, false) => "both are",
                (false, true) => "the library is",
                _ => "the compiler is",
            }
        );
    }
    command.args(["--target", target]);
    let variable = target.replace('-', "_");
    command.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), linker);
    command.env(format!("CC_{variable}"), linker);
    Ok(())
}

/// The last program that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back()
}

fn check(path: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    match wants_dynamic_linker(&bytes) {
        Some(false) => Ok(()),
        Some(true) => bail!("{} is not static: it names a dynamic linker", path.display()),
        None => bail!("{} is no 64-bit little-endian ELF file", path.display()),
    }
}

/// Whether a program must be started by a dynamic linker. `None` when it is no ELF file of a 64-bit little-endian machine.
fn wants_dynamic_linker(elf: &[u8]) -> Option<bool> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    let first = usize::try_from(u64_at(32)?).ok()?;
    let (size, count) = (usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    for index in 0..count {
        if u32_at(first.checked_add(index * size)?)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(program_headers: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 * program_headers.len()];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&(program_headers.len() as u16).to_le_bytes());
        for (index, kind) in program_headers.iter().enumerate() {
            bytes[64 + 56 * index..][..4].copy_from_slice(&kind.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_static_program_names_no_dynamic_linker() {
        assert_eq!(wants_dynamic_linker(&elf(&[1, 2, 4])), Some(false));
        assert_eq!(wants_dynamic_linker(&elf(&[6, PT_INTERP, 1])), Some(true));
        assert_eq!(wants_dynamic_linker(b"#!/bin/sh\n"), None);
        assert_eq!(wants_dynamic_linker(&elf(&[1, 1])[..90]), None, "cut off");
    }

    #[test]
    fn the_program_is_the_last_one_that_cargo_names() {
        let messages = "{\"executable\":null}\n{\"executable\":\"/t/debug/build\"}\nnoise\n{\"executable\":\"/t/debug/flyball\"}";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/debug/flyball")));
        assert_eq!(executable("{\"reason\":\"build-finished\"}"), None);
    }
}

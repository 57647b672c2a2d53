//! `cargo xtask image`: the program as a container image, without a daemon.
//!
//! One layer on nothing: the static program at `/flyball` and an `/etc/nsswitch.conf` that says where host names are looked
//! up. Not in it: a CA bundle (API servers, kubelets and collectors are verified against the cluster's own authorities,
//! which come with the pod's service account; nothing else is ever asked), a shell, users (nothing looks up names of
//! users), a folder for temporary files (nothing is written).

mod archive;
mod bundle;
mod check;
mod cluster;
mod container;
mod names;
mod program;
mod seccomp;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use archive::{File, Image};

pub use program::{FLYBALL, Program};

/// Name of the image in the manifests; the tag is the version.
pub const NAME: &str = "flyball.io/flyball";
/// Where programs and archives go.
const FOLDER: &str = "target/image";
/// Nobody, and not root: what the manifests say as well.
const USER: &str = "65534:65534";

/// Flags of `cargo xtask image`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Architecture of the image; without it this machine's.
    #[arg(long, value_enum, value_name = "ARCH")]
    pub arch: Option<Architecture>,
    /// `release` for use, with a compressed layer; `dev` is quick to build.
    #[arg(long, value_enum, default_value_t = Profile::Release, value_name = "PROFILE")]
    pub profile: Profile,
    /// The archive to write; without it target/image/flyball-<ARCH>.tar.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Name of the image in the archive, may be given again; without it flyball.io/flyball:<version>.
    #[arg(long = "tag", value_name = "REF")]
    pub tags: Vec<String>,
    /// Then run each part of overlay `everything` in runc, under its manifest's security context and mounts.
    #[arg(long)]
    pub run_check: bool,
}

/// Processor of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

/// How the program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Optimised.
    Release,
    /// As tests are.
    Dev,
}

impl Options {
    /// What tests use: quick to build, and named as the manifests and the example workload name it.
    pub fn dev() -> Options {
        Options {
            arch: None,
            profile: Profile::Dev,
            output: None,
            tags: vec![default_tag(), "flyball.io/burn:latest".to_owned()],
            run_check: false,
        }
    }
}

impl Architecture {
    fn of_this_machine() -> anyhow::Result<Architecture> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Architecture::Amd64),
            "aarch64" => Ok(Architecture::Arm64),
            other => bail!("images are made for amd64 and arm64, and this machine is {other}: give --arch"),
        }
    }

    fn target(self) -> &'static str {
        match self {
            Architecture::Amd64 => "x86_64-unknown-linux-gnu",
            Architecture::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    fn linker(self) -> &'static str {
        match self {
            Architecture::Amd64 => "x86_64-linux-gnu-gcc",
            Architecture::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    fn linker_package(self) -> &'static str {
        match self {
            Architecture::Amd64 => "gcc-x86-64-linux-gnu",
            Architecture::Arm64 => "gcc-aarch64-linux-gnu",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Builds the image; the last line printed is the path of its archive.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let archive = build(options)?;
    if options.run_check {
        check::run(&archive)?;
    }
    println!("{}", archive.display());
    Ok(())
}

/// The check of an archive inside a network namespace of its own: see [`check`].
pub fn run_check_inside(archive: &Path) -> anyhow::Result<()> {
    check::inside(archive)
}

/// Builds the image and gives the path of its archive.
///
/// # Errors
/// The program does not build or is not static, or the archive cannot be written.
pub fn build(options: &Options) -> anyhow::Result<PathBuf> {
    let architecture = match options.arch {
        Some(architecture) => architecture,
        None => Architecture::of_this_machine()?,
    };
    let built = program::build(program::FLYBALL, architecture, options.profile)?;
    let folder = root().join(FOLDER).join(architecture.name());
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let kept = folder.join("flyball");
    fs::copy(&built, &kept).with_context(|| format!("cannot copy the program to {}", kept.display()))?;

    let image = Image {
        architecture: architecture.name(),
        created: git(&["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]),
        labels: labels(),
        user: USER,
        entrypoint: "/flyball",
        files: vec![
            File { path: "flyball", mode: 0o755, content: fs::read(&kept)? },
            File { path: "etc/nsswitch.conf", mode: 0o644, content: b"hosts: files dns\n".to_vec() },
        ],
        compress: options.profile == Profile::Release,
    };
    let tags = if options.tags.is_empty() { vec![default_tag()] } else { options.tags.clone() };
    let path = match &options.output {
        Some(path) => path.clone(),
        None => root().join(FOLDER).join(format!("flyball-{architecture}.tar")),
    };
    let cannot_write = || format!("cannot write {}", path.display());
    let file = fs::File::create(&path).with_context(cannot_write)?;
    image.write(&tags, BufWriter::new(file)).with_context(cannot_write)?;
    println!("{}: {} for linux/{architecture}, user {USER}", path.display(), tags.join(", "));
    Ok(path)
}

fn default_tag() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

fn labels() -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title", "Flyball".to_owned()),
        ("org.opencontainers.image.description", "A Kubernetes metrics pipeline and autoscaler".to_owned()),
        ("org.opencontainers.image.source", env!("CARGO_PKG_REPOSITORY").to_owned()),
        ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE").to_owned()),
    ]);
    if let Some(revision) = git(&["rev-parse", "HEAD"]) {
        labels.insert("org.opencontainers.image.revision", revision);
    }
    labels
}

/// What git says, where there is git and a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root()).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The workspace's folder.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Builds a program for this machine that needs nothing but the kernel.
pub fn static_program(program: Program, profile: Profile) -> anyhow::Result<PathBuf> {
    program::build(program, Architecture::of_this_machine()?, profile)
}

/// Where PATH has a program.
pub fn program_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Whether PATH has a program.
fn has_program(name: &str) -> bool {
    program_in_path(name).is_some()
}

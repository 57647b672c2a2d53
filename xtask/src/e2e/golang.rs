//! Go programs of `e2e/`, built once per content of their sources under `target/controlplane/`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use super::root;

/// Where built programs go, under the workspace.
const FOLDER: &str = "target/controlplane";

/// A Go module with one `main.go`, or one that only names the program of another module.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Name of the program that is built.
    pub name: &'static str,
    /// Its folder in the workspace.
    pub folder: &'static str,
    /// The module file in it: `go.mod`, or another that names other versions.
    pub file: &'static str,
    /// The dependency whose version the program says when asked, if it is one of Kubernetes.
    pub version_of: Option<&'static str>,
    /// The package of the program.
    pub package: Package,
}

/// Which package of a module is built.
#[derive(Debug, Clone, Copy)]
pub enum Package {
    /// The module's own `main.go`.
    Own,
    /// The one of another module that is built from it with these tags.
    Of {
        /// Its path.
        path: &'static str,
        /// For the compiler; empty: none.
        tags: &'static str,
    },
}

impl Package {
    fn path(self) -> &'static str {
        match self {
            Package::Own => ".",
            Package::Of { path, .. } => path,
        }
    }

    fn tags(self) -> &'static str {
        match self {
            Package::Own => "",
            Package::Of { tags, .. } => tags,
        }
    }
}

/// Builds it unless that was done; returns the path of the program, to which `target/controlplane/NAME` leads too.
///
/// # Errors
/// It does not build, or a file cannot be read or written.
pub fn build(module: &Module) -> anyhow::Result<PathBuf> {
    let sources = root().join(module.folder);
    let file = sources.join(module.file);
    let mut hasher = DefaultHasher::new();
    let mut requirements = String::new();
    let own = matches!(module.package, Package::Own).then(|| sources.join("main.go"));
    for path in [file.clone(), file.with_extension("sum")].into_iter().chain(own) {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        text.hash(&mut hasher);
        if path == file {
            requirements = text;
        }
    }
    let linked = link_flags(module, &requirements)?;
    (&linked, module.package.path(), module.package.tags()).hash(&mut hasher);
    let folder = root().join(FOLDER);
    let program = folder.join(format!("{}-{:016x}", module.name, hasher.finish()));
    if !program.is_file() {
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        remove_older(module, &folder)?;
        println!("+ go build -modfile={} # in {}; minutes the first time", module.file, module.folder);
        let unfinished = program.with_extension("unfinished");
        // Runs beside tests too, which go first.
        let status = Command::new("nice")
            .args([
                "-n",
                "15",
                "go",
                "build",
                "-trimpath",
                "-modfile",
                module.file,
                "-ldflags",
                &linked,
                "-tags",
                module.package.tags(),
                "-o",
            ])
            .arg(&unfinished)
            .arg(module.package.path())
            .current_dir(&sources)
            // A Go of a distribution may be older than the modules ask for.
            .env("GOTOOLCHAIN", "auto")
            .status()
            .context("cannot start go")?;
        ensure!(status.success(), "{} does not build: go ended with {status}", module.folder);
        fs::rename(&unfinished, &program).with_context(|| program.display().to_string())?;
    }
    let link = folder.join(module.name);
    // Fails only when there is none yet.
    let _ = fs::remove_file(&link);
    symlink(&program, &link).with_context(|| link.display().to_string())?;
    Ok(program)
}

/// A program is some 200 MB: only the last one is kept.
fn remove_older(module: &Module, folder: &std::path::Path) -> anyhow::Result<()> {
    let prefix = format!("{}-", module.name);
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let hash = entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix).map(str::to_owned));
        if hash.is_some_and(|hash| hash.len() >= 16 && !hash.contains('-')) {
            fs::remove_file(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

/// Flags of the linker: no debug information; the version, which upstream's release build links in the same way.
fn link_flags(module: &Module, requirements: &str) -> anyhow::Result<String> {
    let mut flags = "-s -w".to_owned();
    if let Some(dependency) = module.version_of {
        let (version, major, minor) = version(requirements, dependency)
            .with_context(|| format!("{}/{} names no version of {dependency}", module.folder, module.file))?;
        let package = "k8s.io/component-base/version";
        flags += &format!(
            " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
        );
    }
    Ok(flags)
}

/// `v1.2.3`, `1` and `2` of a dependency in a module file.
fn version<'a>(requirements: &'a str, dependency: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let version = requirements.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(dependency)).then(|| words.next()).flatten()
    })?;
    let mut numbers = version.strip_prefix('v')?.split('.');
    Some((version, numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read_from_module_files() {
        let file = "module x\n\nrequire (\n\tk8s.io/kubectl v0.37.2\n\tk8s.io/kubernetes v1.37.2 // why\n)\n";
        assert_eq!(version(file, "k8s.io/kubernetes"), Some(("v1.37.2", "1", "37")));
        assert_eq!(
            version("require k8s.io/kubernetes v1.34.4", "k8s.io/kubernetes"),
            Some(("v1.34.4", "1", "34"))
        );
        assert_eq!(version(file, "k8s.io/kube"), None);
    }
}

//! A copy of the pure modules of `hpa`, with the differential, in a workspace of its own under `target/mutants/`.
//!
//! It builds in a minute, the next time in seconds, because nothing that talks to a cluster is in it; and it may be changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::cargo::cargo;
use crate::e2e::root;

/// Where it is.
const FOLDER: &str = "target/mutants";
/// Modules of `hpa` that are copied.
const MODULES: [&str; 5] = ["compile", "controls", "decide", "report", "switches"];

/// The copy.
pub struct Copy {
    /// Its folder.
    pub folder: PathBuf,
}

impl Copy {
    /// Written anew and built.
    ///
    /// # Errors
    /// A file cannot be written, or it does not build.
    pub fn built() -> anyhow::Result<Self> {
        let copy = Copy { folder: root().join(FOLDER) };
        copy.write()?;
        println!("+ cargo build # the pure modules of hpa and the differential, in {FOLDER}");
        ensure!(copy.build()?, "the copy in {FOLDER} does not build");
        Ok(copy)
    }

    /// The differential.
    pub fn program(&self) -> PathBuf {
        self.folder.join("out/debug/flyball-differential")
    }

    fn write(&self) -> anyhow::Result<()> {
        let manifest = |package: &str, dependencies: &str| {
            format!(
                "[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n{dependencies}"
            )
        };
        let model = "flyball-model = { path = \"../../../model\" }\nserde = { version = \"1\", features = [\"derive\"] }\n";
        let json = "serde_json = { version = \"1\", features = [\"float_roundtrip\"] }\n";
        let hpa = format!(
            "{model}{json}[dev-dependencies]\nproptest = {{ version = \"1\", default-features = false, features = [\"std\"] }}\n"
        );
        let clap = "clap = { version = \"4.5\", features = [\"derive\", \"env\", \"wrap_help\"] }\n";
        let differential = format!(
            "{model}{json}{clap}flyball-hpa = {{ path = \"../hpa\" }}\nanyhow = \"1\"\nfastrand = \"2\"\n"
        );
        let profile = "[profile.dev]\nopt-level = 1\ndebug = false\n";
        self.put(
            "Cargo.toml",
            &format!("[workspace]\nresolver = \"3\"\nmembers = [\"hpa\", \"differential\"]\n{profile}"),
        )?;
        self.put("hpa/Cargo.toml", &manifest("flyball-hpa", &hpa))?;
        self.put("differential/Cargo.toml", &manifest("flyball-differential", &differential))?;
        self.put("hpa/src/lib.rs", &MODULES.map(|module| format!("pub mod {module};\n")).concat())?;
        self.put("Cargo.lock", &fs::read_to_string(root().join("Cargo.lock"))?)?;
        for module in MODULES {
            let file = format!("{module}.rs");
            let source = root().join("hpa/src");
            let name = if source.join(&file).is_file() { &file } else { module };
            self.copy(&source.join(name), &self.folder.join("hpa/src").join(name))?;
        }
        self.copy(&root().join("e2e/differential/src"), &self.folder.join("differential/src"))
    }

    /// Writes a file unless it says the same already: then nothing is built for it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, name: impl AsRef<Path>, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    fn copy(&self, from: &Path, to: &Path) -> anyhow::Result<()> {
        if from.is_file() {
            let text = fs::read_to_string(from).with_context(|| from.display().to_string())?;
            return self.put(to, &text);
        }
        for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
            let entry = entry?;
            self.copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// Runs cargo in it; true if that succeeds.
    ///
    /// # Errors
    /// Cargo cannot be started.
    pub fn cargo(&self, arguments: &[&str]) -> anyhow::Result<bool> {
        let mut command = cargo();
        command.args(arguments).env("CARGO_TARGET_DIR", self.folder.join("out")).current_dir(&self.folder);
        let output = command.stdin(Stdio::null()).output().context("cannot start cargo")?;
        if !output.status.success() && arguments[0] == "build" {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.status.success())
    }

    /// Builds it; what is wrong is printed.
    ///
    /// # Errors
    /// Cargo cannot be started.
    pub fn build(&self) -> anyhow::Result<bool> {
        self.cargo(&["build", "--quiet"])
    }
}

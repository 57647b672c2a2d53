//! Reads the file itself.
#![allow(clippy::disallowed_methods, reason = "an edge: opens the configuration file")]

use std::io::Read as _;
use std::path::Path;

use super::{Config, ConfigError, FILE_BYTES_MAX};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// What is in it is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Config {
    /// Reads a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(path: &Path) -> Result<Config, LoadError> {
        Ok(Config::parse(&text_of(path)?, path)?)
    }
}

/// The text of a file, or as much of it as shows that it is too long.
pub(crate) fn text_of(path: &Path) -> Result<String, LoadError> {
    let failed = |error| LoadError::File { path: path.display().to_string(), error };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yml");
        let missing = Config::load(&path).unwrap_err().to_string();
        assert!(missing.starts_with(&format!("cannot read {}: ", path.display())), "{missing}");
        std::fs::write(&path, "scrape_configs:\n- job_name: a\n  bearer_token_file: t\n").unwrap();
        let config = Config::load(&path).unwrap();
        assert!(format!("{:?}", config.jobs[0].access).contains(&*folder.path().join("t").to_string_lossy()));
        std::fs::write(&path, "x: 1\n").unwrap();
        let wrong = Config::load(&path).unwrap_err().to_string();
        assert_eq!(wrong, format!("{}:1: x: there is no such field", path.display()));
    }
}

//! Holds the map of ARCHITECTURE.md: which of our crates may use which, and what a pure crate must not know.

#![allow(clippy::disallowed_methods, reason = "asks cargo for the dependency graph")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// Allowed arrows between our crates; `*` stands for all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("flyball-model", &[]),
    ("flyball-apiserver", &["flyball-model"]),
    ("flyball-collector", &["flyball-model", "flyball-apiserver"]),
    ("flyball-scrape", &["flyball-model"]),
    ("flyball-tsdb", &["flyball-model", "flyball-apiserver"]),
    ("flyball-metrics-server", &["flyball-model", "flyball-apiserver"]),
    ("flyball-adapter", &["flyball-model", "flyball-apiserver", "flyball-tsdb"]),
    ("flyball-hpa", &["flyball-model", "flyball-apiserver"]),
    ("flyball-local", &["flyball-model", "flyball-apiserver"]),
    ("flyball-cli", &["*"]),
    ("flyball-benches", &["*"]),
    ("flyball-e2e", &["*"]),
    ("flyball-differential", &["flyball-model", "flyball-hpa"]),
    ("flyball-vm-guest", &["flyball-model", "flyball-collector"]),
    ("flyball-xtask", &[]),
];

/// What the pure crate must not depend on.
const IMPURE: &[&str] = &["tokio", "hyper", "kube", "rustls", "sled", "rustix", "procfs"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for what ends up in the program.
    kind: Option<String>,
}

fn our_packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let ours = metadata
        .packages
        .into_iter()
        .filter(|package| package.name.starts_with("flyball-"))
        .collect::<Vec<_>>();
    assert!(ours.len() >= ALLOWED.len(), "cargo metadata lists too few crates");
    ours
}

/// Names of the dependencies that end up in the program, without test-only ones.
fn dependencies(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().filter(|d| d.kind.is_none()).map(|d| d.name.as_str()).collect()
}

#[test]
fn crates_use_only_what_the_map_allows() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for package in our_packages() {
        let name = package.name.as_str();
        let arrows = allowed.get(name).unwrap_or_else(|| panic!("{name} is not on the map"));
        for used in dependencies(&package).into_iter().filter(|used| used.starts_with("flyball-")) {
            assert!(arrows.contains(&"*") || arrows.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn model_is_pure() {
    let packages = our_packages();
    let model = packages.iter().find(|package| package.name == "flyball-model").expect("model");
    for used in dependencies(model) {
        assert!(!IMPURE.contains(&used), "flyball-model must not use {used}");
    }
}

#[test]
fn sled_has_two_owners() {
    for package in our_packages() {
        let uses = dependencies(&package).contains("sled");
        let owner = ["flyball-local", "flyball-tsdb"].contains(&package.name.as_str());
        assert!(!uses || owner, "{} must not use sled", package.name);
    }
}

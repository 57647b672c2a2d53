//! What is on disk after every way to end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "starts and kills a process, looks into the data folder")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use flyball_local::registry::kinds::CONFIGMAPS;
use flyball_local::registry::{DeleteOptions, Part, Registry, StoreError, json};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Set for the process that is to be killed: its data folder.
const CHILD_DIR: &str = "FLYBALL_TEST_CRASH_DIR";

fn config_map(name: &str, text: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"text": text}})
}

fn texts(registry: &Registry) -> BTreeMap<String, String> {
    let items = registry.list(&CONFIGMAPS, Some("default")).items;
    items
        .iter()
        .map(|item| (json::name(item).to_owned(), json::text(item, "/data/text").to_owned()))
        .collect()
}

#[tokio::test]
async fn objects_are_there_again_and_versions_never_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let large = "x".repeat(20_000);
    let version = {
        let registry = Registry::open(dir.path()).unwrap();
        registry.create(&CONFIGMAPS, "default", config_map("large", &large)).unwrap();
        registry.create(&CONFIGMAPS, "default", config_map("gone", "")).unwrap();
        registry.create(&CONFIGMAPS, "default", config_map("small", "1")).unwrap();
        registry.delete(&CONFIGMAPS, "default", "gone", DeleteOptions::default()).unwrap();
        registry.durable().await.unwrap();
        registry.resource_version()
    };
    let registry = Registry::open(dir.path()).unwrap();
    let expected = [("large".to_owned(), large), ("small".to_owned(), "1".to_owned())];
    assert_eq!(texts(&registry), BTreeMap::from(expected));
    assert!(registry.resource_version() > version);
    assert_eq!(registry.watch(&CONFIGMAPS, None, Some(version)).err().unwrap().code(), 410);
}

#[test]
fn a_folder_in_use_names_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path()).unwrap();
    let message = Registry::open(dir.path()).err().unwrap().to_string();
    let owner = format!("is in use by another instance (process {})", std::process::id());
    assert!(message.contains(&owner), "{message}");
    drop(registry);
    Registry::open(dir.path()).unwrap();
}

#[test]
fn a_folder_of_another_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("format"), "flyball-local objects 99\n").unwrap();
    let error = Registry::open(dir.path()).err().unwrap();
    assert!(matches!(error, StoreError::Format { .. }), "{error}");
    assert!(!dir.path().join("objects").exists());
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    {
        let registry = Registry::open(dir.path()).unwrap();
        registry.create(&CONFIGMAPS, "default", config_map("before", "1")).unwrap();
    }
    let registry = Registry::open_with_reserve(dir.path(), Some(u64::MAX)).unwrap();
    registry.create(&CONFIGMAPS, "default", config_map("during", "1")).unwrap();
    let refused = registry.durable().await.unwrap_err();
    assert_eq!(refused.code(), 507);
    assert!(refused.message.contains("free some space"), "{}", refused.message);
    let change = |object: &mut Value| object["data"]["text"] = "2".into();
    let update = registry.modify(&CONFIGMAPS, "default", "before", Part::Spec, change);
    assert_eq!(update.unwrap_err().code(), 507);
    let create = registry.create(&CONFIGMAPS, "default", config_map("after", "1"));
    assert_eq!(create.unwrap_err().code(), 507);
    assert_eq!(texts(&registry).len(), 2);
    drop(registry);
    assert_eq!(texts(&Registry::open(dir.path()).unwrap())["before"], "1");
}

/// Not a test of its own: the process that [`nothing_acknowledged_is_lost_by_kill_9`] kills.
#[tokio::test]
async fn crash_child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let registry = Registry::open(Path::new(&dir)).unwrap();
    for number in texts(&registry).len().. {
        let name = format!("n{number:06}");
        registry.create(&CONFIGMAPS, "default", config_map(&name, &"x".repeat(number % 9000))).unwrap();
        registry.durable().await.unwrap();
        println!("acknowledged {name}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash_child", "--exact", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let names = lines
            .map_while(Result::ok)
            .filter_map(|line| Some(line.split_once("acknowledged ")?.1.to_owned()));
        acknowledged.extend(names.take(30 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let stored = texts(&Registry::open(dir.path()).unwrap());
        for name in &acknowledged {
            assert!(stored.contains_key(name), "{name} was acknowledged before kill {round}");
        }
    }
    assert_eq!(acknowledged.len(), 180);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, u16),
    Delete(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6u8, 0..15_000u16).prop_map(|(name, size)| Step::Write(name, size)),
        2 => (0..6u8).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_store_behaves_like_a_map(steps in proptest::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut registry = Registry::open(dir.path()).unwrap();
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write(name, size) => {
                    let (name, text) = (format!("n{name}"), "y".repeat(usize::from(size)));
                    if model.insert(name.clone(), text.clone()).is_none() {
                        registry.create(&CONFIGMAPS, "default", config_map(&name, &text)).unwrap();
                    } else {
                        let object = config_map(&name, &text);
                        registry.update(&CONFIGMAPS, "default", &name, Part::Spec, object).unwrap();
                    }
                }
                Step::Delete(name) => {
                    let name = format!("n{name}");
                    let deleted = registry.delete(&CONFIGMAPS, "default", &name, DeleteOptions::default());
                    prop_assert_eq!(deleted.is_ok(), model.remove(&name).is_some());
                }
                Step::Reopen => {
                    drop(registry);
                    registry = Registry::open(dir.path()).unwrap();
                }
            }
            prop_assert_eq!(&texts(&registry), &model);
        }
    }
}

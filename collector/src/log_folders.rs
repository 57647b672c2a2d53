#![allow(clippy::disallowed_methods, reason = "lists the kubelet's folder of logs")]
//! Names of pods and containers from the links a kubelet makes to their logs: `<pod>_<namespace>_<container>-<id>.log` in
//! `/var/log/containers`, and the folders `<namespace>_<pod>_<uid>` in `/var/log/pods`. One listing names everything; no
//! socket, no question to anybody. Images are not told.

use crate::names::{ContainerFacts, NameTable, PodFacts, PodName};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Most entries taken of a folder.
const ENTRIES_LIMIT: usize = 100_000;
/// Length of a container id.
const ID_LENGTH: usize = 64;

/// The two folders of a kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFolders {
    /// Links to the logs of containers.
    pub containers: PathBuf,
    /// Folders of pods.
    pub pods: PathBuf,
}

impl Default for LogFolders {
    fn default() -> LogFolders {
        LogFolders { containers: PathBuf::from("/var/log/containers"), pods: PathBuf::from("/var/log/pods") }
    }
}

impl LogFolders {
    /// Whether both can be listed.
    pub fn can_be_read(&self) -> bool {
        std::fs::read_dir(&self.containers).is_ok() && std::fs::read_dir(&self.pods).is_ok()
    }

    /// The names that are there now.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn names(&self) -> std::io::Result<NameTable> {
        Ok(table(&entries(&self.pods)?, &entries(&self.containers)?))
    }
}

fn entries(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).take(ENTRIES_LIMIT).collect())
}

/// The names in the listings of the two folders.
pub fn table(pods: &[String], containers: &[String]) -> NameTable {
    // A pod that was made anew under its name has a folder for each; the last one listed gets the containers, and all
    // have the same names.
    let mut known: HashMap<(&str, &str), Vec<PodFacts>> = HashMap::new();
    for folder in pods {
        let mut parts = folder.splitn(3, '_');
        let (Some(namespace), Some(pod), Some(uid)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let facts = PodFacts {
            uid: uid.to_owned(),
            cgroup_uid: uid.to_owned(),
            name: PodName { namespace: namespace.to_owned(), pod: pod.to_owned() },
            containers: Vec::new(),
            sandboxes: Vec::new(),
            volumes: None,
        };
        known.entry((namespace, pod)).or_default().push(facts);
    }
    let mut table = NameTable::default();
    for (pod, namespace, name, id) in containers.iter().filter_map(|link| parse_link(link)) {
        if let Some(facts) = known.get_mut(&(namespace, pod)).and_then(|all| all.last_mut()) {
            let facts_of =
                ContainerFacts { name: name.to_owned(), id: id.to_owned(), ..ContainerFacts::default() };
            facts.containers.push(facts_of);
        }
    }
    for facts in known.values().flatten() {
        table.apply(facts);
    }
    table
}

/// `<pod>_<namespace>_<container>-<id>.log`. None of the names can hold an underscore.
fn parse_link(name: &str) -> Option<(&str, &str, &str, &str)> {
    let stem = name.strip_suffix(".log")?;
    let (names, id) = stem.rsplit_once('-')?;
    let mut parts = names.split('_');
    let found = (parts.next()?, parts.next()?, parts.next()?, id);
    (parts.next().is_none() && id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_folders_become_names() {
        let id = "a1".repeat(32);
        let link = format!("web-7d9-x_shop_side-car-{id}.log");
        let pods = ["shop_web-7d9-x_uid-1".to_owned(), "broken".to_owned()];
        let containers = [link, "x_y_z-short.log".to_owned(), format!("gone_shop_c-{}.log", "b2".repeat(32))];
        let table = table(&pods, &containers);
        let name = table.container(&id).unwrap();
        assert_eq!((name.container.as_str(), name.pod.pod.as_str()), ("side-car", "web-7d9-x"));
        assert_eq!(table.pod("uid-1").unwrap().namespace, "shop");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_is_no_link_is_left_alone() {
        let id = "a1".repeat(32);
        for name in [
            "",
            ".log",
            "a_b_c-.log",
            &format!("a_b-{id}.log"),
            &format!("a_b_c_d-{id}.log"),
            &format!("a_b_c-{id}"),
        ] {
            assert_eq!(parse_link(name), None, "{name}");
        }
    }

    #[test]
    fn folders_that_are_not_there() {
        let folders = LogFolders { containers: "/nowhere/c".into(), pods: "/nowhere/p".into() };
        assert!(!folders.can_be_read() && folders.names().is_err());
    }
}

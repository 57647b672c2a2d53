//! Names of control groups, and the names of log folders and their links.

#![no_main]

use flyball_collector::layout;
use flyball_collector::log_folders;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(found) = layout::identify(text) {
        // What it says of a path is what its last elements say.
        let elements: Vec<&str> = text.split('/').filter(|element| !element.is_empty()).collect();
        assert!(elements.iter().any(|element| layout::pod_uid(element).as_ref() == Some(&found.pod_uid)));
        assert!(matches!(found.pod_uid.len(), 32 | 36), "{found:?}");
        assert!(found.container_id.is_none_or(|id| id.len() == 64 && text.contains(&id)));
    }
    let _ = (layout::pod_uid(text), layout::qos_folder(text), layout::is_kubepods(text));
    if let Some(id) = layout::container_id(text) {
        assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }
    assert!(!layout::systemd_path(text).starts_with('/'));
    let names: Vec<String> = text.lines().map(str::to_owned).collect();
    let (pods, containers) = names.split_at(names.len() / 2);
    assert!(log_folders::table(pods, containers).len() <= pods.len());
});

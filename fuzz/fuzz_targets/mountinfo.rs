//! mountinfo files: the hierarchies of a machine, the mounts of `/metrics/node`, the writable layer of a container.

#![no_main]

use flyball_collector::detect::mounts_in;
use flyball_collector::disk::places::upper_folder;
use flyball_collector::mounts::Hierarchies;
use flyball_collector::node_exporter::mounts::mounts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(mounts(text).count() <= lines);
    if let Ok(mounts) = mounts_in(text)
        && let Some(found) = Hierarchies::settle(&mounts)
    {
        let plan = found.plan(&["2MB".to_owned()]);
        let trees = plan.trees.len();
        assert!(trees <= mounts.len() && plan.slow.iter().all(|reader| reader.tree < trees.max(1)));
    }
    if let Ok(text) = std::str::from_utf8(text) {
        let _ = upper_folder(text);
    }
});

//! The files of control groups and of processes, as the sweeps read them, and the readers of the slower tier.

#![no_main]

use flyball_collector::details::Details;
use flyball_collector::mounts::{CgroupMount, Hierarchies};
use flyball_collector::parse::{self, MEMORY_KEYS_V1, MEMORY_KEYS_V2};
use flyball_collector::readers::{DEVICES_LIMIT, Reader};
use flyball_collector::{devices, disk};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

/// Every reader of either version.
static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| {
    let sizes = ["2MB".to_owned(), "1GB".to_owned()];
    let all = ["cpu", "cpuacct", "memory", "pids", "blkio", "io", "hugetlb"];
    let mount = |unified| CgroupMount {
        root: "/".to_owned(),
        mount_point: "/sys/fs/cgroup".into(),
        unified,
        controllers: all.map(str::to_owned).to_vec(),
    };
    let plans = [false, true].map(|unified| Hierarchies::settle(&[mount(unified)]).unwrap().plan(&sizes));
    plans.into_iter().flat_map(|plan| plan.slow).collect()
});

fuzz_target!(|text: &[u8]| {
    let _ = (
        parse::numbers(text).count(),
        parse::number(text),
        parse::limit(text),
        parse::limit_v1(text),
        parse::cpu_max(text),
    );
    let _ = (parse::process_stat(text), parse::statm_resident_pages(text), parse::uptime_ms(text));
    let _ = (parse::memory_stat(text, &MEMORY_KEYS_V1), parse::memory_stat(text, &MEMORY_KEYS_V2));
    let _ = (parse::cpu_stat_usage_ns(text), parse::soft_limit(text, b"Max open files"));
    let _ = (parse::io_stat(text).count(), parse::blkio(text).count(), parse::net_dev(text).count());
    if let Some(pressure) = parse::pressure(text) {
        assert!(text.windows(5).any(|part| part == b"some "), "{pressure:?}");
    }
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(parse::pids(text).count() <= lines && parse::processes(text).is_none_or(|n| n <= lines as u64));
    assert!(
        devices::parse(text).len() <= DEVICES_LIMIT && devices::disk_totals(text).count() <= DEVICES_LIMIT
    );
    if let Ok(text) = std::str::from_utf8(text) {
        let _ = disk::places::upper_folder(text);
    }
    let mut details = Details::new(&[Arc::from("2MB"), Arc::from("1GB")]);
    for reader in READERS.iter() {
        (reader.take)(text, reader.argument, &mut details);
        assert!(details.io.len() <= DEVICES_LIMIT && details.io.is_sorted_by_key(|io| io.device));
    }
});

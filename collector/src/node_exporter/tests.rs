//! A captured machine, line by line; this machine; hostile input; the documentation.

use super::*;
use crate::table::Metric;
use flyball_model::exposition::{Event, MetricType, Reader};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// Set to write the expected files anew, to be read before they are committed.
const ACCEPT: &str = "FLYBALL_ACCEPT_GOLDEN";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/node_exporter")
}

fn captured() -> NodeExporter {
    let machine = folder();
    NodeExporter::new(&Places::find(&machine.join("proc"), &machine.join("sys"), &machine, "node1"))
}

/// Without what differs from run to run and from machine to machine.
fn masked(line: &str) -> String {
    let sizes = ["size_bytes", "free_bytes", "avail_bytes", "files{", "files_free"];
    let masked_value =
        ["node_time_seconds ", "node_scrape_collector_duration_seconds{"].iter().any(|n| line.starts_with(n))
            || line
                .strip_prefix("node_filesystem_")
                .is_some_and(|rest| sizes.iter().any(|size| rest.starts_with(size)));
    match line.rsplit_once(' ') {
        _ if line.starts_with("node_uname_info{") => "node_uname_info{…} 1".to_owned(),
        _ if line.starts_with("node_exporter_build_info{") => "node_exporter_build_info{…} 1".to_owned(),
        _ if line.starts_with("node_time_zone_offset_seconds{") => {
            "node_time_zone_offset_seconds{…} …".to_owned()
        }
        Some((start, _)) if line.starts_with("node_timex_") => format!("{start} …"),
        Some((start, _)) if masked_value => format!("{start} …"),
        _ => line.to_owned(),
    }
}

fn assert_same(path: &Path, now: &str) {
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(path, now).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    for (index, (now, expected)) in now.lines().zip(expected.lines()).enumerate() {
        assert_eq!(now, expected, "{} line {}; {ACCEPT}=1 writes it anew", path.display(), index + 1);
    }
    assert_eq!(
        now.lines().count(),
        expected.lines().count(),
        "{}; {ACCEPT}=1 writes it anew",
        path.display()
    );
}

#[test]
fn the_captured_machine() {
    let body = captured().render(Format::Text004);
    let masked: Vec<String> = body.lines().map(masked).collect();
    assert_same(&folder().join("metrics-node.txt"), &(masked.join("\n") + "\n"));
}

#[test]
fn a_second_reading_is_as_the_first() {
    let mut exporter = captured();
    let bodies = [(); 2].map(|()| exporter.render(Format::Text004).lines().map(masked).collect::<Vec<_>>());
    assert_eq!(bodies[0], bodies[1]);
}

/// The row of a family; sensors have names of their own making.
fn row(family: &str, kind: MetricType) -> &'static Metric {
    let mut rows =
        rows::ROWS.iter().filter(|row| row.names(family) && (row.kind == kind || row.name.contains("hwmon")));
    rows.next().unwrap_or_else(|| panic!("{family} is no row"))
}

/// Families are rows, sorted, each once; series are sorted, each once, with the labels of the row.
fn assert_well_formed(body: &str) {
    let (mut family, mut kind, mut last) = (String::new(), MetricType::Untyped, Vec::new());
    let mut samples = 0;
    for event in Reader::new(body, Format::Text004) {
        match event.unwrap() {
            Event::Help { name, .. } => {
                assert!(name > family.as_str(), "{name} after {family}");
                family = name.to_owned();
                last.clear();
            }
            Event::Type { name, kind: told } => {
                assert_eq!(name, family);
                kind = told;
                row(&family, kind);
            }
            Event::Sample(sample) => {
                assert_eq!(sample.name, family);
                let names: Vec<&str> = sample.labels.iter().map(|(name, _)| *name).collect();
                assert_eq!(names, row(&family, kind).labels, "{family}");
                let values: Vec<String> = sample.labels.iter().map(|(_, value)| value.to_string()).collect();
                assert!(
                    last.is_empty() && names.is_empty() || values > last,
                    "{family} {values:?} after {last:?}"
                );
                last = values;
                samples += 1;
            }
            _ => {}
        }
    }
    assert!(samples > 100);
}

#[test]
fn bodies_are_sorted_and_of_the_table() {
    assert_well_formed(&captured().render(Format::Text004));
    let places = Places::find(Path::new("/proc"), Path::new("/sys"), Path::new("/"), "node1");
    assert_well_formed(&NodeExporter::new(&places).render(Format::Text004));
}

#[test]
fn openmetrics_reads_back() {
    let body = captured().render(Format::OpenMetrics10);
    let samples = Reader::new(&body, Format::OpenMetrics10)
        .filter(|event| matches!(event.as_ref().unwrap(), Event::Sample(_)));
    let plain = captured().render(Format::Text004);
    assert_eq!(samples.count(), plain.lines().filter(|line| !line.starts_with('#')).count());
}

#[test]
fn an_empty_machine_has_nothing_but_failures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let places = Places::find(&at("proc"), &at("sys"), &at("root"), "node1");
    let body = NodeExporter::new(&places).render(Format::Text004);
    let failed = body
        .lines()
        .filter(|line| line.starts_with("node_scrape_collector_success{") && line.ends_with(" 0"));
    // The clock, the name and, without any CPU in /sys, their frequencies need no file.
    assert_eq!(failed.count(), 26 - 3, "{body}");
    for absent in ["node_cpu", "node_memory", "node_load", "node_network", "node_filesystem", "node_os"] {
        assert!(!body.contains(&format!("\n{absent}")), "{absent}");
    }
}

fn parse_everything(text: &[u8]) {
    let _ = (cpu::cpu_ticks(text).count(), cpu::stat_number(text, b"ctxt"), cpu::cpu_list(text));
    let _ = (memory::meminfo(text).count(), disk::diskstats(text).count(), disk::udev_properties(text));
    let _ = (mounts::mounts(text).count(), network::net_dev(text).count());
    let _ = (sockets::netstat(text).count(), sockets::snmp6(text).count(), sockets::sockstat(text).count());
    let _ = (sockets::softnet(text), sockets::udp_queues(text), sockets::arp_entries(text));
    let _ = (sockets::conntrack_sum(text, b"drop"), kernel::loadavg(text), kernel::file_nr(text));
    let _ =
        (kernel::pressure_total(text, b"some"), kernel::schedstat(text).count(), kernel::os_release(text));
    let _ = hardware::mdstat(text);
    let text = String::from_utf8_lossy(text);
    let _ = (
        hwmon::sensor_of_file(&text),
        hwmon::clean(&text),
        kernel::major_minor(&text),
        memory::vmstat_wanted(&text),
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse_everything(&text);
    }

    #[test]
    fn no_text_like_the_kernels_panics(
        text in "((cpu|some|md0 : active raid1|sockets:|eth0:|Tcp:|E:A=|1 1 8:1 / /a rw - x|ctxt)?[ \t0-9a-fx:\\[\\]()/,.=-]{0,40}\n){0,8}"
    ) {
        parse_everything(text.as_bytes());
    }

    #[test]
    fn no_cut_of_a_real_file_panics(file in 0_usize..12, cut in 0_usize..600, byte in any::<u8>()) {
        let files = ["stat", "meminfo", "diskstats", "1/mountinfo", "net/dev", "net/netstat", "net/snmp6", "net/sockstat",
            "net/softnet_stat", "net/stat/nf_conntrack", "schedstat", "mdstat"];
        let mut text = std::fs::read(folder().join("proc").join(files[file])).unwrap();
        text.truncate(cut);
        if let Some(last) = text.last_mut() {
            *last = byte;
        }
        parse_everything(&text);
    }
}

//! `/metrics/node` against a real node_exporter on this machine, in the same moment.
//!
//! The peer is the program `FLYBALL_E2E_NODE_EXPORTER` names, else one in PATH; `e2e/peers/node_exporter` builds one.
#![allow(clippy::disallowed_methods, reason = "edge: a test of whole programs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use flyball_benches::node_metrics::{Peer, exporter, find_peer};
use flyball_e2e::skipped;
use flyball_model::exposition::{Event, Format, MetricType, Reader};

/// Families of node_exporter that we do not have, by how their names start. This list may only become shorter.
const MISSING: [(&str, &str); 19] = [
    ("go_", "of its runtime"),
    ("process_", "of its process; ours are at /metrics"),
    ("promhttp_", "of its server; ours are at /metrics"),
    ("node_textfile_", "no files of others are read"),
    ("node_filesystem_purgeable_bytes", "of macOS, always 0 here"),
    ("node_selinux_", "not in any dashboard"),
    ("node_dmi_", "not in any dashboard"),
    ("node_disk_ata_", "not in any dashboard"),
    ("node_edac_", "hardware of few machines"),
    ("node_thermal_zone_", "hwmon has the sensors"),
    ("node_cooling_device_", "hardware of few machines"),
    ("node_power_supply_", "hardware of few machines"),
    ("node_rapl_", "readable by root only"),
    ("node_watchdog_", "hardware of few machines"),
    ("node_nvme_", "hardware of few machines"),
    ("node_bonding_", "hardware of few machines"),
    ("node_xfs_", "of one file system"),
    ("node_btrfs_", "of one file system"),
    ("node_zfs_", "of one file system"),
];

/// Families we have and node_exporter has not.
const ADDITIONAL: [(&str, &str); 1] = [("node_memory_", "every field of /proc/meminfo, as before 1.11")];

/// Values that are never the same twice, or are not ours to compare.
const NOT_COMPARED: [&str; 2] = ["node_scrape_collector_duration_seconds", "node_exporter_build_info"];

/// Times both are read; what moves up and down must agree once.
const ATTEMPTS: usize = 25;
/// How far a value that moves may be from both of ours.
const NEAR: f64 = 0.02;
/// The oldest node_exporter whose set this is.
const OLDEST: (u32, u32) = (1, 11);

#[derive(Default)]
struct Body {
    help: BTreeMap<String, String>,
    kind: BTreeMap<String, MetricType>,
    /// Family, and value by series.
    values: BTreeMap<String, (String, f64)>,
}

fn parse(text: &str) -> Body {
    let mut body = Body::default();
    for event in Reader::new(text, Format::Text004) {
        match event.expect("the body is well formed") {
            Event::Help { name, help } => drop(body.help.insert(name.to_owned(), help.into_owned())),
            Event::Type { name, kind } => drop(body.kind.insert(name.to_owned(), kind)),
            Event::Sample(sample) => {
                let mut labels: Vec<_> =
                    sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                labels.sort();
                let series = format!("{}{{{}}}", sample.name, labels.join(","));
                body.values.insert(series, (sample.name.to_owned(), sample.value));
            }
            _ => {}
        }
    }
    body
}

fn version(body: &str) -> Option<(u32, u32)> {
    let line = body.lines().find(|line| line.starts_with("node_exporter_build_info{"))?;
    let mut parts = line.split("version=\"").last()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The peer, or nothing after saying why there is none.
fn peer() -> Option<Peer> {
    let given = std::env::var_os("FLYBALL_E2E_NODE_EXPORTER").map(PathBuf::from);
    let Some(program) = given.or_else(find_peer) else {
        skipped(
            "no node_exporter: FLYBALL_E2E_NODE_EXPORTER names none and PATH has none (see e2e/peers/node_exporter)",
        );
        return None;
    };
    let mut peer = Peer::start(&program).unwrap_or_else(|error| panic!("{error:#}"));
    let body = String::from_utf8(peer.get("/metrics", false).expect("it answers")).expect("text");
    match version(&body) {
        Some(found) if found >= OLDEST => Some(peer),
        found => {
            skipped(&format!(
                "{} is of version {found:?}; the set compared is that of {OLDEST:?} on",
                program.display()
            ));
            None
        }
    }
}

fn starts_with_any(name: &str, list: &[(&str, &str)]) -> bool {
    list.iter().any(|(start, _)| name.starts_with(start))
}

/// Collectors of ours; it has more.
fn is_other_collector(series: &str, ours: &Body) -> bool {
    let name = series.split("collector=").nth(1);
    name.is_some_and(|name| !ours.values.keys().any(|own| own.ends_with(&format!("collector={name}"))))
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Where the sets of series or what is said of families differ.
fn set_faults(ours: &Body, theirs: &Body) -> Vec<String> {
    let mut faults = Vec::new();
    for (series, (family, _)) in &theirs.values {
        let known = ours.values.contains_key(series) || NOT_COMPARED.contains(&family.as_str());
        if !known && !starts_with_any(family, &MISSING) && !is_other_collector(series, ours) {
            faults.push(format!("missing: {series}"));
        }
    }
    for (series, (family, _)) in &ours.values {
        let known = theirs.values.contains_key(series) || NOT_COMPARED.contains(&family.as_str());
        if !known && !starts_with_any(family, &ADDITIONAL) {
            faults.push(format!("additional: {series}"));
        }
    }
    for (family, help) in &theirs.help {
        if ours.help.get(family).is_some_and(|own| own != help) {
            faults.push(format!("help of {family}: {:?}, not {help:?}", ours.help[family]));
        }
        if ours.kind.get(family).is_some_and(|own| *own != theirs.kind[family]) {
            faults.push(format!("type of {family}: {:?}, not {:?}", ours.kind[family], theirs.kind[family]));
        }
    }
    faults
}

/// Series whose value there does not lie between our values before and after.
fn value_faults(before: &Body, theirs: &Body, after: &Body) -> BTreeSet<(String, bool, String)> {
    let mut faults = BTreeSet::new();
    for (series, (family, their)) in &theirs.values {
        let (Some((_, first)), Some((_, last))) = (before.values.get(series), after.values.get(series))
        else {
            continue;
        };
        if NOT_COMPARED.contains(&family.as_str()) {
            continue;
        }
        let counter = theirs.kind.get(family) == Some(&MetricType::Counter);
        let between = first.min(*last) <= *their && *their <= first.max(*last);
        let near = !counter && (their - first).abs() <= NEAR * first.abs() && first != last;
        if !between && !near && !same(*their, *first) && !same(*their, *last) {
            faults.insert((series.clone(), counter, format!("{series}: {their}, ours {first} and {last}")));
        }
    }
    faults
}

#[test]
fn the_same_series_with_the_same_values() {
    let Some(mut peer) = peer() else { return };
    let mut exporter = exporter();
    let mut never_agreed: Option<BTreeMap<String, String>> = None;
    let mut compared = 0;
    for _ in 0..ATTEMPTS {
        let before = parse(&exporter.render(Format::Text004));
        let theirs = peer.get("/metrics", false).expect("it answers");
        let theirs = parse(&String::from_utf8(theirs).expect("text"));
        let after = parse(&exporter.render(Format::Text004));
        let faults = set_faults(&after, &theirs);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        compared = theirs.values.keys().filter(|series| after.values.contains_key(*series)).count();
        let faults = value_faults(&before, &theirs, &after);
        let counters: Vec<_> =
            faults.iter().filter(|(_, counter, _)| *counter).map(|fault| fault.2.as_str()).collect();
        assert!(counters.is_empty(), "counters: {}", counters.join("\n"));
        let faults = faults.into_iter().map(|(series, _, text)| (series, text)).collect::<BTreeMap<_, _>>();
        never_agreed = Some(match never_agreed.take() {
            None => faults,
            Some(mut earlier) => {
                earlier.retain(|series, _| faults.contains_key(series));
                earlier
            }
        });
    }
    let never_agreed = never_agreed.unwrap_or_default();
    assert!(never_agreed.is_empty(), "{}", never_agreed.into_values().collect::<Vec<_>>().join("\n"));
    assert!(compared > 300, "only {compared} series were compared");
    eprintln!("{compared} series agree");
}

//! Bodies about groups with hostile names: each must read back, with the very names and no series twice.

#![no_main]

use flyball_collector::details::Details;
use flyball_collector::disk::DiskUse;
use flyball_collector::layout::Qos;
use flyball_collector::machine::Machine;
use flyball_collector::names::{ContainerName, PodName};
use flyball_collector::sample::{ContainerReading, Cpu, PodReading, Reading, Sweep};
use flyball_collector::selection::Selection;
use flyball_collector::{cadvisor, resource};
use flyball_model::exposition::{Event, Format, MetricType, Reader, Writer};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::sync::Arc;

fn sweep(parts: &[&str]) -> Sweep {
    let part = |at: usize| parts.get(at % parts.len()).copied().unwrap_or_default();
    let pod = Arc::new(PodName { namespace: part(0).to_owned(), pod: part(1).to_owned() });
    let reading = Reading {
        cpu: Some(Cpu { usage_ns: 1, unix_ms: 1_700_000_000_000 }),
        start_unix_ms: Some(1_700_000_000_000),
        ..Reading::default()
    };
    let path = |end: &str| Arc::from(format!("/{}/{end}", part(3)));
    let container = ContainerName {
        container: part(2).to_owned(),
        pod: pod.clone(),
        image: part(4).to_owned(),
        started_unix_ms: None,
    };
    Sweep {
        sequence: 1,
        pods: vec![PodReading {
            uid: "uid".into(),
            qos: Qos::Guaranteed,
            name: Some(pod.clone()),
            reading,
            path: path("pod"),
            details: Arc::default(),
        }],
        containers: vec![ContainerReading {
            id: "id".into(),
            pod_uid: "uid".into(),
            name: Some(Arc::new(container)),
            pod_name: Some(pod),
            looks_like_sandbox: false,
            reading,
            path: path("container"),
            details: Arc::new(Details::default()),
        }],
        ..Sweep::default()
    }
}

fn check(body: &str, format: Format, id: Option<&str>) {
    let mut series = HashSet::new();
    let mut found = false;
    for event in Reader::new(body, format) {
        let Event::Sample(sample) = event.unwrap_or_else(|error| panic!("{error}\n{body}")) else { continue };
        found |= id.is_some() && sample.label("id") == id;
        let mut labels: Vec<_> =
            sample.labels.iter().map(|(name, value)| (*name, value.to_string())).collect();
        labels.sort();
        assert!(series.insert((sample.name.to_owned(), labels)), "twice: {sample:?}");
    }
    assert!(found || id.is_none(), "{id:?} is not in\n{body}");
}

fuzz_target!(|text: &str| {
    let parts: Vec<&str> = text.split('|').collect();
    let sweep = sweep(&parts);
    let machine = Machine { os_version: text.to_owned(), ..Machine::default() };
    for format in [Format::Text004, Format::OpenMetrics10] {
        let body = cadvisor::render(&sweep, &DiskUse::default(), &machine, &Selection::default(), format);
        check(&body, format, Some(&sweep.containers[0].path));
        check(&resource::render(&sweep, format), format, None);
        // Names that are none become some, and never break the body.
        let mut writer = Writer::new(format);
        writer.family(text, text, MetricType::Gauge, Some(text));
        writer.sample(text, &[(text, text)], 1.0, Some(-1));
        check(&writer.finish(), format, None);
    }
});

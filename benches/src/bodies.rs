//! How long the collector takes to write its bodies for 1,000 containers, on idle control groups of this machine.

#![allow(clippy::disallowed_methods, reason = "a benchmark: measures time")]

use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use flyball_collector::cadvisor;
use flyball_collector::disk::DiskUse;
use flyball_collector::machine::Machine;
use flyball_collector::names::{ContainerFacts, NameTable, PodFacts, PodName};
use flyball_collector::selection::Selection;
use flyball_collector::summary::{self, Extent};
use flyball_collector::{Names, Sweep, Sweeper, resource};
use flyball_model::exposition::Format;

use crate::Figure;
use crate::sweep::{Groups, container_id, pod_uid};

const CONTAINERS: usize = 1_000;
/// Bodies written per figure.
const ROUNDS: usize = 300;

/// The figures of the row.
#[must_use]
pub fn figures() -> Vec<Figure> {
    match measure() {
        Ok(figures) => figures,
        Err(error) => {
            vec![Figure::skipped("collector body", "bodies of the collector", format!("{error:#}"))]
        }
    }
}

fn measure() -> anyhow::Result<Vec<Figure>> {
    let groups = Groups::make(CONTAINERS)?;
    let config = groups.config();
    let names = Arc::new(Names::default());
    names.publish(table());
    let mut sweeper = Sweeper::new(&config, names)?;
    sweeper.sweep_once();
    let sweep = sweeper.sweep_once().clone();
    let named = sweep.containers.iter().filter(|container| container.name.is_some()).count();
    if named != CONTAINERS {
        bail!("{named} of {CONTAINERS} containers have a name");
    }
    let machine = Machine::read(&config.proc_root, &config.sys_root);
    let selection = Selection::default();
    let format = Format::Text004;
    Ok(vec![
        figure("/metrics/resource", "≤ 2 ms", |take| take(&resource::render(&sweep, format))),
        figure("/metrics/cadvisor, full set", "≤ 15 ms", |take| {
            // In pieces, as it is served.
            let mut writing =
                cadvisor::Writing::new(&sweep, &DiskUse::default(), &machine, &selection, format);
            while let Some(piece) = writing.next_piece() {
                take(&piece);
            }
        }),
        figure("/stats/summary", "", |take| take(&summary_text(&sweep))),
    ])
}

fn summary_text(sweep: &Sweep) -> String {
    serde_json::to_string(&summary::summary(sweep, &DiskUse::default(), "bench", None, Extent::All))
        .unwrap_or_default()
}

/// `write`: writes a body and hands out its pieces.
fn figure(what: &str, promise: &'static str, write: impl Fn(&mut dyn FnMut(&str))) -> Figure {
    let mut took_ms: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            write(&mut |piece| {
                std::hint::black_box(piece);
            });
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took_ms.sort_by(f64::total_cmp);
    let mut body = String::new();
    write(&mut |piece| body.push_str(piece));
    let series = body.lines().filter(|line| !line.starts_with('#')).count();
    let beside =
        format!("p50 {:.2} ms; {:.1} MB, {series} lines", took_ms[ROUNDS / 2], body.len() as f64 / 1e6);
    let what = format!("{what}, written in memory, {CONTAINERS} containers and their pods, p99");
    Figure::new("collector body", what, took_ms[ROUNDS * 99 / 100], "ms").promise(promise).beside(beside)
}

/// Names of the groups, as [`Groups::make`] numbers them.
fn table() -> NameTable {
    let mut table = NameTable::default();
    for pod in 0..CONTAINERS / 2 {
        let uid = pod_uid(pod);
        let container = |index: usize| ContainerFacts {
            name: format!("container-{}", index % 2),
            id: format!("containerd://{}", container_id(index)),
            image: "registry.example.com/team/application:v1.2.3".to_owned(),
            started_unix_ms: Some(1_700_000_000_000),
            created_unix_ms: None,
            oom_killed: None,
        };
        table.apply(&PodFacts {
            uid: uid.clone(),
            cgroup_uid: uid,
            name: PodName {
                namespace: "production".to_owned(),
                pod: format!("application-7d9c5b6f4-{pod:05}"),
            },
            containers: vec![container(pod * 2), container(pod * 2 + 1)],
            sandboxes: Vec::new(),
            volumes: None,
        });
    }
    table
}

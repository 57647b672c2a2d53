//! What exists, as descriptors of discovery. Pure.

use std::collections::{BTreeMap, BTreeSet};

use flyball_apiserver::discovery::{Group, Resource, Version};

use super::route::{CUSTOM_VERSIONS, VERSION};
use super::{CUSTOM, EXTERNAL, USAGE};
use crate::settings::DISCOVERY_LIMIT;
use crate::sources::{Group as Api, Source};
use crate::state::State;

/// Our groups with the metrics that exist now, each in sorted order and at most [`DISCOVERY_LIMIT`] of them.
pub fn groups(state: &State) -> Vec<Group> {
    let (mut custom, mut external) = (BTreeMap::new(), BTreeSet::new());
    for source in &state.sources {
        match source {
            Source::Queried(source) => {
                let listing = source.listing();
                for metric in listing.catalogue.custom_metrics().filter(|one| source.may_have(&one.metric)) {
                    let name = format!("{}/{}", metric.resource, metric.metric);
                    custom.entry(name).or_insert(metric.namespaced);
                }
                let names = listing.catalogue.external_metrics().filter(|name| source.may_have(name));
                external.extend(names.map(str::to_owned));
            }
            Source::Proxied(source) => {
                for (group, name, namespaced) in &source.listed().metrics {
                    match group {
                        Api::Custom => drop(custom.entry(name.clone()).or_insert(*namespaced)),
                        Api::External => drop(external.insert(name.clone())),
                    }
                }
            }
        }
    }
    external.extend(state.schedules.metrics().into_iter().map(str::to_owned));
    let custom: Vec<Resource> = custom
        .iter()
        .take(DISCOVERY_LIMIT)
        .map(|(name, namespaced)| Resource::new(name, "MetricValueList", *namespaced, &["get"]))
        .collect();
    let external = external
        .iter()
        .take(DISCOVERY_LIMIT)
        .map(|name| Resource::new(name, "ExternalMetricValueList", true, &["get"]));
    let versions = CUSTOM_VERSIONS.map(|version| Version::new(version, custom.clone()));
    let mut groups =
        vec![Group::new(CUSTOM, versions), Group::new(EXTERNAL, [Version::new(VERSION, external)])];
    if state.usage.is_some() {
        let verbs = ["get", "list"];
        let mut nodes = Resource::new("nodes", "NodeMetrics", false, &verbs);
        let mut pods = Resource::new("pods", "PodMetrics", true, &verbs);
        (nodes.singular, pods.singular) = ("node".to_owned(), "pod".to_owned());
        groups.push(Group::new(USAGE, [Version::new(VERSION, [nodes, pods])]));
    }
    groups
}

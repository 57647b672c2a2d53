//! Two doors to one room: `/api/v1/…` for Prometheus' clients, and the same below the API group for those who come through
//! the API server. Pure.
//!
//! Both are asked for under the same permissions, those of the group's resources: GET is `list` (or `get`, where the path has
//! a name), POST is `create`. Not as plain paths: the built-in role `system:discovery` lets everybody who is known to the
//! cluster read any plain path below `/api/`.

use flyball_apiserver::Attributes;
use flyball_apiserver::discovery::{Group, Resource, Version};
use flyball_apiserver::query::decode;

/// The API group.
pub const GROUP: &str = "history.flyball.io";
/// Its version.
pub const VERSION: &str = "v1";

/// What one resource of the group is.
pub(super) struct Entry {
    /// First segment of the path behind `/api/v1`.
    pub(super) resource: &'static str,
    pub(super) kind: &'static str,
    /// The rest of the path, `{name}` for what varies; empty when there is none.
    pub(super) rest: &'static str,
    /// Whether it says nothing of other namespaces when it is asked for in one.
    pub(super) namespaced: bool,
    pub(super) posted: bool,
    pub(super) about: &'static str,
}

const fn entry(resource: &'static str, kind: &'static str, rest: &'static str, about: &'static str) -> Entry {
    Entry { resource, kind, rest, namespaced: false, posted: false, about }
}

const fn of_series(resource: &'static str, kind: &'static str, posted: bool, about: &'static str) -> Entry {
    Entry { namespaced: true, posted, ..entry(resource, kind, "", about) }
}

/// Everything behind both doors.
pub(super) const ENTRIES: [Entry; 25] = [
    of_series("query", "Query", true, "evaluate a query at one time"),
    of_series("query_range", "QueryRange", true, "evaluate a query over a range of time"),
    of_series("query_exemplars", "QueryExemplars", true, "exemplars of a query; none are kept"),
    of_series("format_query", "FormatQuery", true, "write a query readably"),
    of_series("parse_query", "ParseQuery", true, "the tree of a query"),
    of_series("series", "Series", true, "labels of the series that match"),
    of_series("labels", "LabelNames", true, "names of labels"),
    Entry { namespaced: true, ..entry("label", "LabelValues", "{name}/values", "values of a label") },
    of_series("rules", "Rules", false, "rules; there are none"),
    of_series("alerts", "Alerts", false, "alerts; there are none"),
    entry("alertmanagers", "Alertmanagers", "", "Alertmanagers; there are none"),
    entry("metadata", "Metadata", "", "what the targets say about their metrics"),
    entry("targets", "Targets", "", "everything that is scraped"),
    entry("targets", "Targets", "metadata", "what the targets say about their metrics"),
    entry("targets", "Targets", "page", "everything that is scraped, as a text to read"),
    entry("scrape_pools", "ScrapePools", "", "names of the scrape jobs"),
    entry("features", "Features", "", "what works here of what Prometheus can"),
    entry("notifications", "Notifications", "", "what whoever looks should know; there is nothing"),
    entry("status", "Status", "buildinfo", "the program"),
    entry("status", "Status", "runtimeinfo", "the process"),
    entry("status", "Status", "flags", "flags with their values"),
    entry("status", "Status", "config", "the scrape configuration"),
    entry("status", "Status", "walreplay", "how far the log is read; it is, once anybody can ask"),
    entry("status", "Status", "tsdb", "which metrics and labels have most series"),
    Entry {
        posted: true,
        ..entry("admin", "Snapshot", "tsdb/snapshot", "copy the store into a folder of its own")
    },
];

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Path behind `/api/v1`, decoded.
    pub(super) path: String,
    /// The one namespace that it is about.
    pub(super) namespace: Option<String>,
}

/// The group as discovery describes it. GET works as well, but a resource that says `list` is fetched by programs that copy
/// whatever can be listed, and these are no objects.
pub(super) fn group() -> Group {
    let mut resources: Vec<Resource> = Vec::new();
    for entry in &ENTRIES {
        match resources.iter_mut().find(|resource| resource.name == entry.resource) {
            Some(known) => known.namespaced |= entry.namespaced,
            None => resources.push(Resource::new(entry.resource, entry.kind, entry.namespaced, &["create"])),
        }
    }
    Group::new(GROUP, [Version::new(VERSION, resources)])
}

/// The permission of a request at Prometheus' door.
pub(super) fn permission(attributes: &Attributes) -> Option<Attributes> {
    let door = attributes.resource_request && attributes.group.is_empty() && attributes.version == VERSION;
    door.then(|| Attributes { group: GROUP.to_owned(), ..attributes.clone() })
}

/// Where a request leads, by what was authorized. `None` for what is not there.
pub(super) fn route(attributes: &Attributes) -> Option<Route> {
    let ours = attributes.resource_request
        && (attributes.group == GROUP || attributes.group.is_empty())
        && attributes.version == VERSION
        && !["watch", "proxy"].contains(&attributes.verb.as_str());
    if !ours {
        return None;
    }
    let namespace = Some(attributes.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let asked = [&attributes.resource, &attributes.name, &attributes.subresource];
    let asked: Vec<&str> =
        asked.into_iter().map(String::as_str).take_while(|part| !part.is_empty()).collect();
    // What was authorized has to be the whole path.
    let decoded = decode(&attributes.path, false)?;
    let parts: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
    let in_front = if attributes.group.is_empty() { 2 } else { 3 } + 2 * usize::from(namespace.is_some());
    if parts.get(in_front..)? != asked.as_slice() {
        return None;
    }
    let entry = ENTRIES.iter().find(|entry| entry.is(&asked))?;
    if namespace.is_some() && !entry.namespaced {
        return None;
    }
    Some(Route { path: format!("/{}", asked.join("/")), namespace })
}

impl Entry {
    fn is(&self, asked: &[&str]) -> bool {
        let rest = self.rest.split('/').filter(|part| !part.is_empty());
        let pattern: Vec<&str> = std::iter::once(self.resource).chain(rest).collect();
        let same = |(pattern, part): (&&str, &&str)| *pattern == "{name}" || pattern == part;
        pattern.len() == asked.len() && pattern.iter().zip(asked).all(same)
    }
}

#[cfg(test)]
mod tests {
    use flyball_apiserver::{Query, attributes};
    use http::Method;

    use super::*;

    fn of(method: Method, target: &str) -> Attributes {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        attributes::of(&method, path, &Query::parse(query))
    }

    fn routed(method: Method, target: &str) -> String {
        match route(&of(method, target)) {
            Some(Route { path, namespace: Some(namespace) }) => format!("{path} of {namespace}"),
            Some(Route { path, namespace: None }) => path,
            None => "-".to_owned(),
        }
    }

    #[test]
    fn both_doors_lead_to_the_same() {
        for (target, expected) in [
            ("/query?query=up", "/query"),
            ("/query/", "/query"),
            ("/label/pod/values", "/label/pod/values"),
            ("/label/a%2eb/values", "/label/a.b/values"),
            ("/status/tsdb", "/status/tsdb"),
            ("/targets/page", "/targets/page"),
            ("/namespaces/shop/query_range", "/query_range of shop"),
            ("/namespaces/shop/label/pod/values", "/label/pod/values of shop"),
            // Kubernetes takes this for the status of the Namespace.
            ("/namespaces/shop/status/buildinfo", "-"),
            ("/namespaces/shop/targets", "-"),
            ("/namespaces/shop/status/tsdb", "-"),
            ("/namespaces/shop", "-"),
            ("/namespaces/shop/admin/tsdb/snapshot", "-"),
            ("/query/x", "-"),
            ("/label/a%2Fb/values", "-"),
            ("/label/a/values/c", "-"),
            ("/label/namespaces/values", "/label/namespaces/values"),
            ("/nothing", "-"),
            ("/watch/query", "-"),
            ("/query?watch=true", "-"),
        ] {
            for door in ["/api/v1", "/apis/history.flyball.io/v1"] {
                assert_eq!(routed(Method::GET, &format!("{door}{target}")), expected, "{door}{target}");
            }
        }
        assert_eq!(routed(Method::POST, "/api/v1/admin/tsdb/snapshot"), "/admin/tsdb/snapshot");
        // Is told that it is not allowed, not that there is nothing.
        assert_eq!(routed(Method::DELETE, "/api/v1/query"), "/query");
        assert_eq!(routed(Method::OPTIONS, "/api/v1/query"), "/query");
        assert_eq!(routed(Method::GET, "/api/v2/query"), "-");
        assert_eq!(routed(Method::GET, "/apis/other.example/v1/query"), "-");
    }

    #[test]
    fn prometheus_door_is_asked_for_as_the_group() {
        let asked = |method, target: &str| {
            permission(&of(method, target))
                .map(|a| format!("{} {} {} {} {}", a.verb, a.group, a.namespace, a.resource, a.subresource))
        };
        for (method, target, expected) in [
            (Method::GET, "/api/v1/query?query=up", "list history.flyball.io  query "),
            (Method::POST, "//api/v1/query", "create history.flyball.io  query "),
            (Method::GET, "/api/v1/label/pod/values", "get history.flyball.io  label values"),
            (Method::POST, "/api/v1/admin/tsdb/snapshot", "create history.flyball.io  admin snapshot"),
            (Method::GET, "/api/v1/namespaces/shop/query", "list history.flyball.io shop query "),
        ] {
            assert_eq!(asked(method, target).as_deref(), Some(expected), "{target}");
        }
        // These keep the permission of their own path.
        for target in
            ["/apis/history.flyball.io/v1/query", "/metrics", "/api/v2/x", "/apis/metrics.k8s.io/v1/pods"]
        {
            assert_eq!(asked(Method::GET, target), None, "{target}");
        }
    }

    #[test]
    fn nothing_is_listed_as_an_object() {
        let group = group();
        let resources = &group.versions[0].resources;
        assert!(resources.iter().all(|resource| resource.verbs == ["create"]));
        let mut names: Vec<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), resources.len(), "each resource once");
    }
}

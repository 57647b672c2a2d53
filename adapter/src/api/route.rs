//! What a request asks for, by the attributes that it was authorized by: nothing else can be answered than what was
//! allowed. Pure.

use flyball_apiserver::Attributes;

use super::{CUSTOM, EXTERNAL, USAGE};
use crate::backends::encode;
use crate::kinds::GroupResource;

/// Versions of custom.metrics.k8s.io, the preferred one first: the order of upstream's APIServices.
pub(crate) const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
/// Of external.metrics.k8s.io and of metrics.k8s.io.
pub(crate) const VERSION: &str = "v1beta1";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Custom(WantedCustom),
    External(WantedExternal),
    Usage(WantedUsage),
}

/// A custom metric.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WantedCustom {
    pub(crate) version: &'static str,
    /// `None` for objects that are in no namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) resource: GroupResource,
    /// `None` for all objects.
    pub(crate) name: Option<String>,
    pub(crate) metric: String,
    /// Where another server has the same.
    pub(crate) path: String,
}

/// An external metric.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WantedExternal {
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) path: String,
}

/// Usage.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WantedUsage {
    Nodes { name: Option<String> },
    Pods { namespace: Option<String>, name: Option<String> },
}

impl Wanted {
    pub(crate) fn group(&self) -> &'static str {
        match self {
            Wanted::Custom(_) => CUSTOM,
            Wanted::External(_) => EXTERNAL,
            Wanted::Usage(_) => USAGE,
        }
    }
}

/// Why a request asks for nothing that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// There is no such resource.
    Unknown,
    /// Upstream's library calls it an invalid path: a namespace, and then neither an object nor `metrics`.
    InvalidPath,
}

/// What the attributes ask for.
pub(crate) fn of(attributes: &Attributes) -> Result<Wanted, NotServed> {
    // The segments as the authorizer saw them; it looks at no more than four.
    let decoded = flyball_apiserver::query::decode(&attributes.path, false).ok_or(NotServed::Unknown)?;
    let rest = decoded.strip_prefix("/apis/").ok_or(NotServed::Unknown)?;
    let segments: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    // An empty segment would be skipped by the authorizer, and a dotted one by whom a request is handed on to.
    if segments.iter().any(|segment| ["", ".", ".."].contains(segment)) {
        return Err(NotServed::Unknown);
    }
    // Old verbs in the path, and resources named as a namespace's subresources: the authorizer saw something else there.
    if ["proxy", "watch"].contains(&segments.get(2).copied().unwrap_or_default()) {
        return Err(NotServed::Unknown);
    }
    if segments.get(2) == Some(&"namespaces")
        && ["status", "finalize"].contains(&segments.get(4).copied().unwrap_or_default())
    {
        return Err(NotServed::Unknown);
    }
    let wanted = match segments.as_slice() {
        [group, version, inner @ ..] if *group == CUSTOM => {
            let version = CUSTOM_VERSIONS.into_iter().find(|known| known == version);
            let version = version.ok_or(NotServed::Unknown)?;
            if matches!(inner, ["namespaces", _, _]) {
                return Err(NotServed::InvalidPath);
            }
            custom(version, inner).map(Wanted::Custom)
        }
        [group, version, "namespaces", namespace, metric] if *group == EXTERNAL && *version == VERSION => {
            Some(Wanted::External(WantedExternal {
                namespace: (*namespace).to_owned(),
                metric: (*metric).to_owned(),
                path: external_path(namespace, metric),
            }))
        }
        [group, version, inner @ ..] if *group == USAGE && *version == VERSION => {
            usage(inner).map(Wanted::Usage)
        }
        _ => None,
    };
    wanted.ok_or(NotServed::Unknown)
}

fn custom(version: &'static str, segments: &[&str]) -> Option<WantedCustom> {
    let (namespace, resource, name, metric) = match segments {
        ["namespaces", namespace, "metrics", metric] => (None, "namespaces", *namespace, *metric),
        ["namespaces", namespace, resource, name, metric] => (Some(*namespace), *resource, *name, *metric),
        [resource, name, metric] => (None, *resource, *name, *metric),
        _ => return None,
    };
    Some(WantedCustom {
        version,
        namespace: namespace.map(str::to_owned),
        resource: GroupResource::parse(resource),
        name: (name != "*").then(|| name.to_owned()),
        metric: metric.to_owned(),
        path: joined(CUSTOM, version, segments),
    })
}

fn usage(segments: &[&str]) -> Option<WantedUsage> {
    let owned = |text: &str| Some(text.to_owned());
    Some(match segments {
        ["nodes"] => WantedUsage::Nodes { name: None },
        ["nodes", name] => WantedUsage::Nodes { name: owned(name) },
        ["pods"] => WantedUsage::Pods { namespace: None, name: None },
        ["namespaces", namespace, "pods"] => WantedUsage::Pods { namespace: owned(namespace), name: None },
        ["namespaces", namespace, "pods", name] => {
            WantedUsage::Pods { namespace: owned(namespace), name: owned(name) }
        }
        _ => return None,
    })
}

/// Where a custom metric of an object, or of all of them (`*`), is.
pub(crate) fn custom_path(
    namespace: Option<&str>,
    resource: &GroupResource,
    name: &str,
    metric: &str,
) -> String {
    let resource = resource.to_string();
    let version = CUSTOM_VERSIONS[0];
    match namespace {
        Some(namespace) => joined(CUSTOM, version, &["namespaces", namespace, &resource, name, metric]),
        None if resource == "namespaces" => joined(CUSTOM, version, &["namespaces", name, "metrics", metric]),
        None => joined(CUSTOM, version, &[&resource, name, metric]),
    }
}

/// Where an external metric is.
pub(crate) fn external_path(namespace: &str, metric: &str) -> String {
    joined(EXTERNAL, VERSION, &["namespaces", namespace, metric])
}

fn joined(group: &str, version: &str, segments: &[&str]) -> String {
    let mut path = format!("/apis/{group}/{version}");
    for segment in segments {
        path.push('/');
        // A star goes as it is, as clients send it.
        if *segment == "*" { path.push('*') } else { encode(&mut path, segment) }
    }
    path
}

#[cfg(test)]
mod tests {
    use flyball_apiserver::Query;

    use super::*;

    fn route(path: &str) -> Result<Wanted, NotServed> {
        of(&flyball_apiserver::attributes::of(&http::Method::GET, path, &Query::default()))
    }

    fn short(path: &str) -> String {
        match route(path) {
            Err(NotServed::Unknown) => "-".to_owned(),
            Err(NotServed::InvalidPath) => "invalid".to_owned(),
            Ok(Wanted::Custom(custom)) => format!(
                "{} {} {} {} {}",
                custom.version,
                custom.namespace.as_deref().unwrap_or("-"),
                custom.resource,
                custom.name.as_deref().unwrap_or("*"),
                custom.metric
            ),
            Ok(Wanted::External(external)) => format!("{} {}", external.namespace, external.metric),
            Ok(Wanted::Usage(usage)) => format!("{usage:?}"),
        }
    }

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/pods/p/m", "v1beta1 ns pods p m"),
            ("/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/pods/%2A/m", "v1beta2 ns pods * m"),
            ("/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/pods/*/m/", "v1beta2 ns pods * m"),
            (
                "/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/ingresses.networking.k8s.io/i/m",
                "v1beta1 ns ingresses.networking.k8s.io i m",
            ),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/m", "v1beta1 - nodes n m"),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/*/m", "v1beta1 - nodes * m"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/metrics/m", "v1beta1 - namespaces ns m"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/*/metrics/m", "v1beta1 - namespaces * m"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/pods/p", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/m", "invalid"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/*/m", "invalid"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/metrics/m", "invalid"),
            (
                "/apis/custom.metrics.k8s.io/v1beta1/namespaces/metrics/metrics/m",
                "v1beta1 - namespaces metrics m",
            ),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/pods/p/m/more", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta3/nodes/n/m", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/pods", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes//m", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/a%2Fb", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/proxy/n/m", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/watch/nodes/n/m", "-"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/status/x/m", "-"),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/m", "ns m"),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/s0-rabbitmq%3Aq", "ns s0-rabbitmq:q"),
            ("/apis/external.metrics.k8s.io/v1beta1/m", "-"),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/a/b", "-"),
            ("/apis/metrics.k8s.io/v1beta1/nodes", "Nodes { name: None }"),
            ("/apis/metrics.k8s.io/v1/nodes", "-"),
        ] {
            assert_eq!(short(path), expected, "{path}");
        }
    }

    /// The subject of an answer is the one that permission was asked for.
    #[test]
    fn the_authorizer_saw_the_same() {
        for (path, resource, name, subresource) in [
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/pods/p/m", "pods", "p", "m"),
            ("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/m", "nodes", "n", "m"),
            ("/apis/custom.metrics.k8s.io/v1beta1/namespaces/ns/metrics/m", "metrics", "m", ""),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/m", "m", "", ""),
        ] {
            let attributes = flyball_apiserver::attributes::of(&http::Method::GET, path, &Query::default());
            let seen =
                (attributes.resource.as_str(), attributes.name.as_str(), attributes.subresource.as_str());
            assert_eq!(seen, (resource, name, subresource), "{path}");
            assert!(of(&attributes).is_ok(), "{path}");
        }
    }

    #[test]
    fn what_is_handed_on_is_what_was_understood() {
        let Ok(Wanted::External(external)) =
            route("/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/a%3Ab%3Fc%23")
        else {
            panic!("no route")
        };
        assert_eq!(external.path, "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/a%3Ab%3Fc%23");
        assert_eq!(route("/apis/custom.metrics.k8s.io/v1beta1/namespaces/%2e%2e/pods/*/m").ok(), None);
    }
}

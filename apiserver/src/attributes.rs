//! What a request asks for: the pure mapping from method, path and query to the attributes that
//! authorization and routing use. It follows upstream's `RequestInfoFactory`, oddities included.

use http::Method;

use crate::query::Query;
use crate::user::User;

/// What a request asks for. Strings are empty where upstream's are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Whether this is a request for a resource (`/api/v1/…`, `/apis/<group>/<version>/…`).
    pub resource_request: bool,
    /// The path as sent.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for paths that are no
    /// resource, the HTTP method in lower case.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace; empty for cluster scope and for lists over all namespaces.
    pub namespace: String,
    /// Resource in plural, for example `pods`.
    pub resource: String,
    /// Subresource, for example `scale`.
    pub subresource: String,
    /// Name of the object; for lists the name an exact `metadata.name=` field selector asks for.
    pub name: String,
    /// Text of the label selector of a list, watch or deletecollection.
    pub label_selector: String,
    /// Text of the field selector of a list, watch or deletecollection.
    pub field_selector: String,
}

/// Path prefixes that were verbs once; `watch` is refused later as an unknown resource.
const SPECIAL_VERBS: [&str; 2] = ["proxy", "watch"];
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];
/// Subresources whose requests last as long as the client likes.
const LONG_RUNNING_SUBRESOURCES: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// The attributes of a request.
pub fn of(method: &Method, path: &str, query: &Query) -> Attributes {
    let mut attributes = Attributes {
        path: path.to_owned(),
        verb: method.as_str().to_ascii_lowercase(),
        ..Attributes::default()
    };
    // An encoded slash parts segments too, as Go decodes a path before anybody looks at it.
    let decoded = crate::query::decode(path, false).unwrap_or_else(|| path.to_owned());
    let parts: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => {
            fill_resource(&mut attributes, method, version, rest, query);
        }
        ["apis", group, version, rest @ ..] if !rest.is_empty() => {
            attributes.group = (*group).to_owned();
            fill_resource(&mut attributes, method, version, rest, query);
        }
        _ => {}
    }
    attributes
}

fn fill_resource(attributes: &mut Attributes, method: &Method, version: &str, rest: &[&str], query: &Query) {
    attributes.resource_request = true;
    attributes.version = version.to_owned();
    let mut parts = rest;
    if parts.len() > 1 && SPECIAL_VERBS.contains(&parts[0]) {
        attributes.verb = parts[0].to_owned();
        parts = &parts[1..];
    } else {
        attributes.verb = verb_of(method).to_owned();
    }
    if let ["namespaces", namespace, inner @ ..] = parts {
        attributes.namespace = (*namespace).to_owned();
        if inner.first().is_some_and(|next| !NAMESPACE_SUBRESOURCES.contains(next)) {
            parts = inner;
        }
    }
    let part = |index: usize| parts.get(index).copied().unwrap_or("").to_owned();
    (attributes.resource, attributes.name, attributes.subresource) = (part(0), part(1), part(2));
    fill_collection(attributes, query);
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// A request without a name is about a collection: its verb, name and selectors depend on the query.
fn fill_collection(attributes: &mut Attributes, query: &Query) {
    if attributes.name.is_empty() {
        match attributes.verb.as_str() {
            "get" if query.flag("watch") => attributes.verb = "watch".into(),
            "get" => attributes.verb = "list".into(),
            "delete" => attributes.verb = "deletecollection".into(),
            _ => {}
        }
    }
    if ["list", "watch", "deletecollection"].contains(&attributes.verb.as_str()) {
        attributes.label_selector = query.first("labelSelector").unwrap_or("").to_owned();
        attributes.field_selector = query.first("fieldSelector").unwrap_or("").to_owned();
        if attributes.name.is_empty()
            && attributes.verb != "deletecollection"
            && let Some(name) = exact_name(&attributes.field_selector)
        {
            attributes.name = name;
        }
    }
}

/// The name a field selector requires, when it is one that could stand in a path.
fn exact_name(field_selector: &str) -> Option<String> {
    let mut names = field_selector.split(',').filter_map(|term| {
        let (path, value) = term.split_once('=')?;
        (path == "metadata.name").then(|| value.trim_start_matches('=').to_owned())
    });
    names.next().filter(|name| !["", ".", ".."].contains(&name.as_str()) && !name.contains(['/', '%']))
}

impl Attributes {
    /// Attributes of a request for a plain path, for tests and for checks inside a process.
    pub fn path(verb: &str, path: &str) -> Self {
        Self { path: path.into(), verb: verb.into(), ..Self::default() }
    }

    /// Attributes of an action on a resource, for checks inside a process (for example impersonation).
    pub fn resource(verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource_request: true,
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Self::default()
        }
    }

    /// Whether the request only reads.
    pub fn is_read_only(&self) -> bool {
        ["get", "list", "watch", "head", "options"].contains(&self.verb.as_str())
    }

    /// Whether the request may last for ever: watches and streams of a pod. Such requests are exempt from the
    /// in-flight limit and from the request time-out.
    pub fn is_long_running(&self) -> bool {
        self.resource_request
            && (self.verb == "watch"
                || self.verb == "proxy"
                || LONG_RUNNING_SUBRESOURCES.contains(&self.subresource.as_str()))
    }

    /// The sentence of a 403: who cannot do what, and where.
    pub fn refusal(&self, user: &User) -> String {
        let (name, verb) = (&user.name, &self.verb);
        if !self.resource_request {
            return format!("User {name:?} cannot {verb} path {:?}", self.path);
        }
        let resource = match self.subresource.as_str() {
            "" => self.resource.clone(),
            sub => format!("{}/{sub}", self.resource),
        };
        let scope = match self.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!("User {name:?} cannot {verb} resource {resource:?} in API group {:?} {scope}", self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: method, path and query, then
    /// `verb group version namespace resource subresource name` with `-` for empty; paths give `verb path`.
    const TABLE: &[(&str, &str, &str)] = &[
        ("GET", "/", "get /"),
        ("GET", "/healthz", "get /healthz"),
        ("POST", "/apis", "post /apis"),
        ("GET", "/api/v1", "get /api/v1"),
        ("GET", "/api/v1/", "get /api/v1/"),
        ("GET", "/apis/metrics.k8s.io", "get /apis/metrics.k8s.io"),
        ("GET", "/apis/metrics.k8s.io/v1beta1", "get /apis/metrics.k8s.io/v1beta1"),
        ("GET", "/apis/metrics.k8s.io/v1beta1/nodes", "list metrics.k8s.io v1beta1 - nodes - -"),
        ("GET", "/apis/metrics.k8s.io/v1/nodes/", "list metrics.k8s.io v1 - nodes - -"),
        ("HEAD", "/apis/metrics.k8s.io/v1/nodes", "list metrics.k8s.io v1 - nodes - -"),
        ("GET", "/apis/metrics.k8s.io/v1/nodes?watch=true", "watch metrics.k8s.io v1 - nodes - -"),
        ("GET", "/apis/metrics.k8s.io/v1/nodes?watch=0", "list metrics.k8s.io v1 - nodes - -"),
        ("GET", "/apis/metrics.k8s.io/v1/nodes/n1?watch=1", "get metrics.k8s.io v1 - nodes - n1"),
        ("GET", "/apis/metrics.k8s.io/v1/namespaces/a/pods", "list metrics.k8s.io v1 a pods - -"),
        ("GET", "/apis/metrics.k8s.io/v1/namespaces/a/pods/p", "get metrics.k8s.io v1 a pods - p"),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list - v1 - pods - x"),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name==x,a=b", "list - v1 - pods - x"),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name!=x", "list - v1 - pods - -"),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name=a%2Fb", "list - v1 - pods - -"),
        ("GET", "/api/v1/namespaces", "list - v1 - namespaces - -"),
        ("GET", "/api/v1/namespaces/a", "get - v1 a namespaces - a"),
        ("PUT", "/api/v1/namespaces/a/finalize", "update - v1 a namespaces finalize a"),
        ("PUT", "/api/v1/namespaces/a/status", "update - v1 a namespaces status a"),
        ("POST", "/api/v1/namespaces/a/pods", "create - v1 a pods - -"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch apps v1 a deployments scale d"),
        ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection - v1 a pods - -"),
        ("DELETE", "/api/v1/namespaces/a/pods/p", "delete - v1 a pods - p"),
        ("GET", "/api/v1/namespaces/a/pods/p/log", "get - v1 a pods log p"),
        ("GET", "/api/v1/watch/pods", "watch - v1 - pods - -"),
        ("GET", "/api/v1/namespaces/a/pods/x%2Fy", "get - v1 a pods y x"),
        ("OPTIONS", "/api/v1/pods", "- - v1 - pods - -"),
    ];

    fn show(attributes: &Attributes) -> String {
        if !attributes.resource_request {
            return format!("{} {}", attributes.verb, attributes.path);
        }
        let a = attributes;
        [&a.verb, &a.group, &a.version, &a.namespace, &a.resource, &a.subresource, &a.name]
            .map(|field| if field.is_empty() { "-" } else { field.as_str() })
            .join(" ")
    }

    #[test]
    fn requests_map_to_attributes_as_upstream() {
        for (method, target, expected) in TABLE {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let attributes = of(&method.parse().unwrap(), path, &Query::parse(query));
            assert_eq!(show(&attributes), *expected, "{method} {target}");
        }
    }

    #[test]
    fn a_refusal_names_who_what_and_where() {
        let user = User::new("bob", ["g"]);
        let attributes = of(&Method::GET, "/apis/metrics.k8s.io/v1/namespaces/n/pods", &Query::default());
        assert_eq!(
            attributes.refusal(&user),
            r#"User "bob" cannot list resource "pods" in API group "metrics.k8s.io" in the namespace "n""#
        );
        let scale =
            Attributes { subresource: "scale".into(), ..Attributes::resource("get", "apps", "x", "", "") };
        assert_eq!(
            scale.refusal(&user),
            r#"User "bob" cannot get resource "x/scale" in API group "apps" at the cluster scope"#
        );
        assert_eq!(
            Attributes::path("get", "/metrics").refusal(&user),
            r#"User "bob" cannot get path "/metrics""#
        );
    }

    #[test]
    fn watches_and_logs_are_long_running() {
        let of = |path: &str, query: &str| of(&Method::GET, path, &Query::parse(query)).is_long_running();
        assert!(of("/api/v1/pods", "watch"));
        assert!(of("/api/v1/namespaces/a/pods/p/log", ""));
        assert!(!of("/api/v1/pods", ""));
        assert!(!of("/healthz", "watch"));
    }
}

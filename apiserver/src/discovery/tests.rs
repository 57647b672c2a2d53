use http_body_util::BodyExt;

use super::*;

fn metrics() -> Group {
    let resources = || {
        [
            Resource::new("nodes", "NodeMetrics", false, &["get", "list"]),
            Resource::new("pods", "PodMetrics", true, &["get", "list"]),
        ]
    };
    Group::new("metrics.k8s.io", [Version::new("v1beta1", resources())])
}

fn core_and_apps() -> [Group; 2] {
    let pods = Resource {
        singular: "pod".into(),
        short_names: vec!["po".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::new("status", "Pod", &["get"])],
        ..Resource::new("pods", "Pod", true, &["list"])
    };
    let scale = Subresource::new("scale", "Scale", &["get"]).of_group("autoscaling", "v1");
    let deployments =
        Resource { subresources: vec![scale], ..Resource::new("deployments", "Deployment", true, &["get"]) };
    [Group::new("", [Version::new("v1", [pods])]), Group::new("apps", [Version::new("v1", [deployments])])]
}

async fn get(
    discovery: &Discovery,
    path: &str,
    headers: &[(header::HeaderName, &str)],
) -> (Response, String) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name.clone(), value.parse().unwrap());
    }
    let response = discovery.respond(&Method::GET, path, &map, &Query::default()).unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (http::Response::from_parts(parts, empty()), String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn plain_documents_are_upstreams() {
    let discovery = Discovery::new(&[metrics()], ":4443");
    for (path, expected) in [
        (
            "/apis",
            r#"{"kind":"APIGroupList","groups":[{"name":"metrics.k8s.io","versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"},"serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":":4443"}]}]}"#,
        ),
        (
            "/apis/metrics.k8s.io",
            r#"{"kind":"APIGroup","apiVersion":"v1","name":"metrics.k8s.io","versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}}"#,
        ),
        (
            "/apis/metrics.k8s.io/v1beta1/",
            r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[{"name":"nodes","singularName":"","namespaced":false,"kind":"NodeMetrics","verbs":["get","list"]},{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}"#,
        ),
    ] {
        let (response, text) = get(&discovery, path, &[]).await;
        assert_eq!((response.status().as_u16(), text), (200, format!("{expected}\n")), "{path}");
    }
    for unknown in ["/api", "/api/v1", "/apis/metrics.k8s.io/v1", "/apis/other", "/metrics"] {
        let found = discovery.respond(&Method::GET, unknown, &HeaderMap::new(), &Query::default());
        assert!(found.is_none(), "{unknown}");
    }
    let refused = discovery.respond(&Method::POST, "/apis", &HeaderMap::new(), &Query::default()).unwrap();
    assert_eq!(refused.status(), 405);
}

#[tokio::test]
async fn the_aggregated_document_has_upstreams_shape_tag_and_304() {
    let discovery = Discovery::new(&[metrics()], ":4443");
    let accept = [(header::ACCEPT, AGGREGATED_CONTENT_TYPE)];
    let (response, text) = get(&discovery, "/apis", &accept).await;
    let expected = r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[{"metadata":{"name":"metrics.k8s.io","creationTimestamp":null},"versions":[{"version":"v1beta1","freshness":"Current","resources":[{"resource":"nodes","responseKind":{"group":"metrics.k8s.io","version":"v1beta1","kind":"NodeMetrics"},"scope":"Cluster","singularResource":"","verbs":["get","list"]},{"resource":"pods","responseKind":{"group":"metrics.k8s.io","version":"v1beta1","kind":"PodMetrics"},"scope":"Namespaced","singularResource":"","verbs":["get","list"]}]}]}]}"#;
    assert_eq!(text, format!("{expected}\n"));
    assert_eq!(response.headers()[header::CONTENT_TYPE], AGGREGATED_CONTENT_TYPE);
    assert_eq!(response.headers()[header::VARY], "Accept");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "public");
    let etag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!((etag.len(), etag.to_uppercase() == etag), (130, true));
    let (response, text) =
        get(&discovery, "/apis", &[accept[0].clone(), (header::IF_NONE_MATCH, &etag)]).await;
    assert_eq!((response.status().as_u16(), text.as_str()), (304, ""));
}

#[tokio::test]
async fn the_core_group_lives_under_api_in_both_forms() {
    let discovery = Discovery::new(&core_and_apps(), "127.0.0.1:6443");
    let (_, text) = get(&discovery, "/api", &[]).await;
    assert_eq!(
        text,
        "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[{\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":\"127.0.0.1:6443\"}]}\n"
    );
    let (_, text) = get(&discovery, "/api/v1", &[]).await;
    assert!(text.contains(r#"{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["list"],"shortNames":["po"],"categories":["all"]},{"name":"pods/status","singularName":"","namespaced":true,"kind":"Pod","verbs":["get"]}"#), "{text}");
    let (_, text) = get(&discovery, "/api", &[(header::ACCEPT, AGGREGATED_CONTENT_TYPE)]).await;
    assert!(text.contains(r#""items":[{"metadata":{"creationTimestamp":null},"versions":[{"version":"v1","freshness":"Current","resources":[{"resource":"pods","responseKind":{"group":"","version":"v1","kind":"Pod"},"scope":"Namespaced","singularResource":"pod","verbs":["list"],"shortNames":["po"],"categories":["all"],"subresources":[{"subresource":"status","responseKind":{"group":"","version":"v1","kind":"Pod"},"verbs":["get"]}]}]}]}]"#), "{text}");
    let (_, text) = get(&discovery, "/apis/apps/v1", &[]).await;
    assert!(text.contains(r#"{"name":"deployments/scale","singularName":"","namespaced":true,"group":"autoscaling","version":"v1","kind":"Scale","verbs":["get"]}"#), "{text}");
    let (_, text) = get(&discovery, "/apis", &[]).await;
    assert!(text.contains(r#""name":"apps""#) && !text.contains(r#""name":"""#), "{text}");
    assert_eq!(discovery.paths(), ["/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Recorded from upstream.
#[tokio::test]
async fn protobuf_documents_are_upstreams() {
    let discovery = Discovery::new(&[metrics()], ":7502");
    let aggregated =
        "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let get = async |path: &str, accept: &str| {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        let response = discovery.respond(&Method::GET, path, &headers, &Query::default()).unwrap();
        let (parts, body) = response.into_parts();
        let content_type = parts.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!((parts.status, content_type.as_str()), (StatusCode::OK, accept), "{path}");
        body.collect().await.unwrap().to_bytes()
    };
    let group = b"\x0a\x0emetrics.k8s.io\x12!\x0a\x16metrics.k8s.io/v1beta1\x12\x07v1beta1\x1a!\x0a\x16metrics.k8s.io/v1beta1\x12\x07v1beta1";
    let end = b"\x1a\0\"\0";
    for (path, expected) in [
        (
            "/apis",
            [
                b"k8s\0\x0a\x10\x0a\0\x12\x0cAPIGroupList\x12l\x0aj".as_slice(),
                group,
                b"\"\x12\x0a\x090.0.0.0/0\x12\x05:7502",
                end,
            ]
            .concat(),
        ),
        (
            "/apis/metrics.k8s.io",
            [b"k8s\0\x0a\x0e\x0a\x02v1\x12\x08APIGroup\x12V".as_slice(), group, end].concat(),
        ),
        (
            "/apis/metrics.k8s.io/v1beta1",
            [
                b"k8s\0\x0a\x15\x0a\x02v1\x12\x0fAPIResourceList\x12p\x0a\x16metrics.k8s.io/v1beta1"
                    .as_slice(),
                b"\x12+\x0a\x05nodes\x10\0\x1a\x0bNodeMetrics\"\x0b\x0a\x03get\x0a\x04list2\0B\0J\0R\0",
                b"\x12)\x0a\x04pods\x10\x01\x1a\x0aPodMetrics\"\x0b\x0a\x03get\x0a\x04list2\0B\0J\0R\0",
                end,
            ]
            .concat(),
        ),
    ] {
        assert_eq!(hex(&get(path, crate::protobuf::MEDIA_TYPE).await), hex(&expected), "{path}");
    }
    let list = get("/apis", aggregated).await;
    // Ours tell the kinds' group and version, where upstream's are empty.
    let kind = b"\x0a\x0emetrics.k8s.io\x12\x07v1beta1\x1a";
    for part in [
        b"k8s\0\x0a/\x0a\x16apidiscovery.k8s.io/v2\x12\x15APIGroupDiscoveryList\x12".as_slice(),
        b"\x0a\x06\x0a\0\x12\0\x1a\0\x12",
        b"\x0a\x1e\x0a\x0emetrics.k8s.io\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12",
        &[b"\x0a\x05nodes\x12\x26".as_slice(), kind, b"\x0bNodeMetrics\x1a\x07Cluster\"\0*\x03get*\x04list"]
            .concat(),
        &[
            b"\x0a\x04pods\x12\x25".as_slice(),
            kind,
            b"\x0aPodMetrics\x1a\x0aNamespaced\"\0*\x03get*\x04list\x1a\x07Current\x1a\0\"\0",
        ]
        .concat(),
    ] {
        assert!(list.windows(part.len()).any(|window| window == part), "{} in {}", hex(part), hex(&list));
    }
}

#[test]
fn what_is_below_a_group_that_is_served() {
    let discovery = Discovery::new(&[metrics()], "");
    for (path, expected) in [
        ("/apis/metrics.k8s.io/v2", true),
        ("/apis/metrics.k8s.io/v1alpha1/", true),
        ("/apis/metrics.k8s.io", false),
        ("/apis/metrics.k8s.iox/v1", false),
        ("/apis/other/v1", false),
        ("/apis", false),
    ] {
        assert_eq!(discovery.is_below_a_group(path), expected, "{path}");
    }
}

#[tokio::test]
async fn discovery_is_got_and_nothing_else() {
    let discovery = Discovery::new(&[metrics()], "");
    let headers = HeaderMap::new();
    for path in ["/apis", "/apis/metrics.k8s.io", "/apis/metrics.k8s.io/v1beta1"] {
        let refused = discovery.respond(&Method::HEAD, path, &headers, &Query::default()).unwrap();
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

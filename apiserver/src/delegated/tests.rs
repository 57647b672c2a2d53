use super::*;
use crate::query::Query;

fn spec(target: &str) -> serde_json::Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let attributes = crate::attributes::of(&http::Method::GET, path, &Query::parse(query));
    let user = User::new("bob", ["dev", "system:authenticated"]);
    serde_json::to_value(spec_of(Question { user, attributes })).unwrap()
}

#[test]
fn the_review_says_what_upstreams_says() {
    let who = |rest: serde_json::Value| {
        let mut spec = serde_json::json!({"user": "bob", "groups": ["dev", "system:authenticated"]});
        spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        spec
    };
    assert_eq!(
        spec("/metrics"),
        who(serde_json::json!({"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}))
    );
    assert_eq!(
        spec("/apis/metrics.k8s.io/v1/namespaces/n/pods/p"),
        who(
            serde_json::json!({"resourceAttributes": {"namespace": "n", "verb": "get", "group": "metrics.k8s.io",
            "version": "v1", "resource": "pods", "name": "p"}})
        )
    );
    assert_eq!(
        spec(
            "/apis/metrics.k8s.io/v1/pods?labelSelector=a=b,c%20in%20(d,e),!f,g&fieldSelector=metadata.name!=x"
        ),
        who(
            serde_json::json!({"resourceAttributes": {"verb": "list", "group": "metrics.k8s.io", "version": "v1",
            "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "metadata.name", "operator": "NotIn", "values": ["x"]}]},
            "labelSelector": {"requirements": [
                {"key": "a", "operator": "In", "values": ["b"]},
                {"key": "c", "operator": "In", "values": ["d", "e"]},
                {"key": "f", "operator": "DoesNotExist"},
                {"key": "g", "operator": "Exists"}]}}})
        )
    );
}

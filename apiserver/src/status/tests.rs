use http_body_util::BodyExt;

use super::*;

/// Compact JSON of each constructor, as upstream writes it.
#[test]
fn bodies_are_upstreams() {
    let faults = [
        FieldError::invalid("spec.maxReplicas", 0, "must be greater than 0"),
        FieldError::required("spec.scaleTargetRef.kind", ""),
    ];
    let group = "metrics.k8s.io";
    let table: Vec<(Status, &str)> = vec![
        (
            Status::not_found("", "pods", "x"),
            r#""status":"Failure","message":"pods \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404"#,
        ),
        (
            Status::not_found(group, "nodemetrics", "x"),
            r#""status":"Failure","message":"nodemetrics.metrics.k8s.io \"x\" not found","reason":"NotFound","details":{"name":"x","group":"metrics.k8s.io","kind":"nodemetrics"},"code":404"#,
        ),
        (
            Status::unknown_resource(),
            r#""status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404"#,
        ),
        (
            Status::method_not_allowed(),
            r#""status":"Failure","message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405"#,
        ),
        (
            Status::verb_not_supported(group, "nodes", "watch"),
            r#""status":"Failure","message":"watch is not supported on resources of kind \"nodes.metrics.k8s.io\"","reason":"MethodNotAllowed","details":{"group":"metrics.k8s.io","kind":"nodes"},"code":405"#,
        ),
        (
            Status::unauthorized(),
            r#""status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401"#,
        ),
        (
            Status::conflict("apps", "deployments", "d", "changed"),
            r#""status":"Failure","message":"Operation cannot be fulfilled on deployments.apps \"d\": changed","reason":"Conflict","details":{"name":"d","group":"apps","kind":"deployments"},"code":409"#,
        ),
        (
            Status::already_exists("", "pods", "p"),
            r#""status":"Failure","message":"pods \"p\" already exists","reason":"AlreadyExists","details":{"name":"p","kind":"pods"},"code":409"#,
        ),
        (
            Status::invalid("autoscaling", "HorizontalPodAutoscaler", "h", &faults),
            r#""status":"Failure","message":"HorizontalPodAutoscaler.autoscaling \"h\" is invalid: [spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.scaleTargetRef.kind: Required value]","reason":"Invalid","details":{"name":"h","group":"autoscaling","kind":"HorizontalPodAutoscaler","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: 0: must be greater than 0","field":"spec.maxReplicas"},{"reason":"FieldValueRequired","message":"Required value","field":"spec.scaleTargetRef.kind"}]},"code":422"#,
        ),
        (
            Status::forbidden(group, "pods", "q", "no"),
            r#""status":"Failure","message":"pods.metrics.k8s.io \"q\" is forbidden: no","reason":"Forbidden","details":{"name":"q","group":"metrics.k8s.io","kind":"pods"},"code":403"#,
        ),
        (
            Status::forbidden("", "", "", "no"),
            r#""status":"Failure","message":"forbidden: no","reason":"Forbidden","details":{},"code":403"#,
        ),
        (Status::gone("too old"), r#""status":"Failure","message":"too old","reason":"Expired","code":410"#),
        (
            Status::too_many_requests("later", 1),
            r#""status":"Failure","message":"later","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429"#,
        ),
        (
            Status::internal("boom"),
            r#""status":"Failure","message":"Internal error occurred: boom","reason":"InternalError","details":{"causes":[{"message":"boom"}]},"code":500"#,
        ),
        (
            Status::success("apps", "deployments", "d", "u-1"),
            r#""status":"Success","details":{"name":"d","group":"apps","kind":"deployments","uid":"u-1"}"#,
        ),
    ];
    for (status, tail) in table {
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(text, format!(r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},{tail}}}"#));
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status, "reads back");
    }
}

async fn written(status: &Status, accept: &str) -> (http::response::Parts, String) {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, accept.parse().unwrap());
    let (parts, body) = status.to_response(&headers, &Query::default()).into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn the_form_follows_accept_but_a_failure_is_never_hidden() {
    let status = Status::forbidden("", "pods", "", "no");
    let (parts, text) = written(&status, "application/json").await;
    assert!(text.starts_with(r#"{"kind":"Status","#) && text.ends_with("}\n"));
    assert_eq!(
        (parts.status.as_u16(), parts.headers[header::X_CONTENT_TYPE_OPTIONS].as_bytes()),
        (403, &b"nosniff"[..])
    );
    let (parts, text) = written(&status, "application/yaml").await;
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/yaml");
    assert!(text.contains("kind: Status"), "{text}");
    for accept in ["application/json;as=Table;v=v1;g=meta.k8s.io", "text/html"] {
        let (parts, text) = written(&status, accept).await;
        assert_eq!(parts.status.as_u16(), 403, "{accept}");
        assert!(text.starts_with("{\n  \"kind\": \"Status\","), "{text}");
    }
    let (parts, _) = written(&Status::too_many_requests("later", 7), "*/*").await;
    assert_eq!(parts.headers[header::RETRY_AFTER], "7");
}

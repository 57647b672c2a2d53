//! Who may do what, asked without kubectl (which never sends an anonymous request).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "starts a server")]

mod support;

use http::Request;
use kube::Client;
use support::Cluster;

fn client(cluster: &Cluster, token: Option<&str>) -> Client {
    let mut config = kube::Config::new(format!("https://{}", cluster.address).parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    Client::try_from(config).unwrap()
}

async fn code(client: &Client, path: &str) -> u16 {
    match client.request_text(Request::get(path).body(Vec::new()).unwrap()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_requests_reach_the_probes_only() {
    let cluster = Cluster::start().await;
    let anonymous = client(&cluster, None);
    assert_eq!(code(&anonymous, "/readyz").await, 200);
    assert_eq!(code(&anonymous, "/version").await, 200);
    assert_eq!(code(&anonymous, "/api/v1/pods").await, 403);
    assert_eq!(code(&anonymous, "/apis").await, 403);
    let stranger = client(&cluster, Some("nonsense"));
    assert_eq!(code(&stranger, "/api/v1/pods").await, 401);
}

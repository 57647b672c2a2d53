//! Callers at the ports of our servers themselves: whose word is taken, and whose is not.

use std::net::SocketAddr;

use flyball_apiserver::certs::CertificateAuthority;
use flyball_e2e::plane::Plane;

use super::direct::Caller;
use super::stage::{Server, Stage};
use super::{alone_at_scaling, holds};

const PLACE: &str = "behaviour-callers";

/// Paths that anyone may ask.
const PROBES: [&str; 3] = ["/healthz", "/livez", "/readyz"];

struct Callers {
    authority: CertificateAuthority,
    token: String,
    token_for_another: String,
}

impl Callers {
    fn new(stage: &Stage<'_>) -> Self {
        let place = stage.place(PLACE);
        place.ok(&["create", "serviceaccount", "reader"]);
        let plane = stage.plane;
        for role in ["flyball:aggregated-metrics-reader", "flyball:metrics-scraper"] {
            let name = format!("e2e-callers:{role}");
            plane.admin().ok(&["delete", "clusterrolebinding", &name, "--ignore-not-found"]);
            let account = format!("--serviceaccount={PLACE}:reader");
            plane.admin().ok(&[
                "create",
                "clusterrolebinding",
                &name,
                &format!("--clusterrole={role}"),
                &account,
            ]);
        }
        Self {
            authority: CertificateAuthority::new("front-proxy-ca").expect("an authority"),
            token: plane.token_of(PLACE, "reader", &[]),
            token_for_another: plane.token_of(PLACE, "reader", &["https://somewhere.else"]),
        }
    }

    /// Every caller, by the answers it may get.
    fn all(&self, plane: &Plane) -> Vec<(&'static str, Caller, &'static [u16])> {
        let pki = plane.pki();
        let issue =
            |authority: &CertificateAuthority, name: &str| authority.issue_client(name, &[]).expect("a pair");
        let false_proxy = issue(&self.authority, "front-proxy-client");
        let other_name = issue(pki.front_proxy_authority(), "somebody");
        let nobody = pki.client("nobody", &[]);
        let master = pki.client("someone", &["system:masters"]);
        let anyone = Caller::default;
        vec![
            ("no credentials", anyone(), &[401, 403]),
            ("forged headers without a certificate", anyone().for_a_master(), &[401, 403]),
            (
                "forged headers by another authority",
                anyone().certificate(&false_proxy).for_a_master(),
                &[401],
            ),
            (
                "forged headers by a name not allowed",
                anyone().certificate(&other_name).for_a_master(),
                &[401],
            ),
            ("forged headers of a known user", anyone().certificate(&nobody).for_a_master(), &[403]),
            ("the proxy naming nobody", anyone().certificate(pki.front_proxy()), &[401]),
            (
                "the proxy for one without rights",
                anyone().certificate(pki.front_proxy()).header("X-Remote-User", "nobody"),
                &[403],
            ),
            ("the proxy for a master", anyone().certificate(pki.front_proxy()).for_a_master(), &[200]),
            ("a master by certificate", anyone().certificate(&master), &[200]),
            ("a token", anyone().token(&self.token), &[200]),
            ("a token for another audience", anyone().token(&self.token_for_another), &[401]),
            ("a token that is none", anyone().token("none"), &[401]),
            (
                "a token for another audience, and forged headers",
                anyone().token(&self.token_for_another).for_a_master(),
                &[401],
            ),
        ]
    }
}

fn judge(plane: &Plane, callers: &Callers, server: &Server, path: &str) {
    for (name, caller, wanted) in callers.all(plane) {
        let answer = caller.get(server.address, path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(wanted.contains(&answer.status), "{name}: wanted {wanted:?} of {path}: {answer:?}");
    }
}

/// Of someone without credentials only probes are answered.
fn only_probes_for_anyone(server: SocketAddr, others: &[&str]) {
    for path in PROBES {
        let answer = Caller::default().get(server, path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    for path in others {
        let answer = Caller::default().get(server, path).unwrap_or_else(|error| panic!("{error}"));
        assert!([401, 403].contains(&answer.status), "{path}: {answer:?}");
    }
}

#[test]
fn only_those_are_believed_whom_the_api_server_vouches_for() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let callers = Callers::new(&stage);
    let server = stage.metrics();
    judge(&plane, &callers, &server, "/apis/metrics.k8s.io/v1beta1/nodes");
    judge(&plane, &callers, &server, "/apis/metrics.k8s.io/v1/pods");
    judge(&plane, &callers, &server, "/metrics");
    only_probes_for_anyone(server.address, &["/", "/apis", "/metrics", "/apis/metrics.k8s.io/v1beta1/nodes"]);
    // Who was refused, in upstream's words.
    let proxy = Caller::default().certificate(plane.pki().front_proxy()).header("X-Remote-User", "nobody");
    let answer =
        proxy.get(server.address, "/apis/metrics.k8s.io/v1beta1/namespaces/n/pods").expect("an answer");
    let message = r#"User \"nobody\" cannot list resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"n\""#;
    holds(&answer.body, &["pods.metrics.k8s.io is forbidden", message, "\"code\":403"]);

    let hpa = stage.hpa(&["--mode=replace"]).ready();
    judge(&plane, &callers, &hpa, "/metrics");
    only_probes_for_anyone(hpa.address, &["/", "/apis", "/metrics"]);

    let files = super::secret::Files::new(plane.folder(), "callers");
    files.put(&plane.pki().server(&["flyball-collector"], &[]));
    let collector = stage.collector("node-0", &files.certificate(), &files.key()).ready();
    judge(&plane, &callers, &collector, "/metrics/resource");
    judge(&plane, &callers, &collector, "/metrics");
    only_probes_for_anyone(
        collector.address,
        &["/", "/metrics", "/metrics/resource", "/metrics/cadvisor", "/stats/summary"],
    );
}

#[test]
fn impersonation_is_the_api_servers_to_allow() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let _server = stage.metrics();
    let path = "/apis/metrics.k8s.io/v1beta1/nodes";
    plane.admin().eventually_prints(flyball_e2e::MINUTE, &["get", "--raw", path], "node-0");
    holds(
        &plane.admin().fails(&["get", "--raw", path, "--as=nobody"]),
        &["User \"nobody\" cannot list resource \"nodes\""],
    );
    holds(
        &plane.nobody().fails(&["get", "--raw", path, "--as=admin", "--as-group=system:masters"]),
        &["cannot impersonate"],
    );
    assert_eq!(plane.viewer().ok(&["auth", "can-i", "list", "pods.metrics.k8s.io", "-A"]).trim(), "yes");
}

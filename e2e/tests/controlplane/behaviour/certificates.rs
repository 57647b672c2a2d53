//! Certificates and tokens that change while everything runs: nobody has to be restarted, and nothing stops.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use flyball_apiserver::certs::{CertificateAuthority, Issued};
use flyball_e2e::plane::Plane;
use flyball_e2e::{Kubectl, MINUTE, eventually, full, skipped};
use serde_json::{Value, json};

use super::alone_at_scaling;
use super::direct::{Caller, chain};
use super::secret::Files;
use super::stage::{COLLECTOR, HPA, METRICS_SERVER, Server, Stage, status};
use super::workload::{SCALE_LIMIT, autoscaler, eventually_replicas, workload};
use crate::shipped::SYSTEM;

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

/// Certificates are made to be valid from an hour before, and renewed when two thirds of their time are over: with this
/// time left, that is in some ten seconds.
const NEARLY_OVER: Duration = Duration::from_secs(1815);

/// Waits until a server shows a certificate, whom it must answer at every look.
#[track_caller]
fn eventually_shows(server: &Server, issued: &Issued) {
    let wanted = chain(&issued.certificate_pem);
    eventually(
        MINUTE,
        "the new certificate is shown",
        || server.program.state(),
        || {
            let answer = server.anonymous("/livez").expect("it answers all the time");
            if answer.certificate == wanted[0].as_ref() {
                Ok(())
            } else {
                Err("another certificate".to_owned())
            }
        },
    );
}

#[test]
fn a_serving_certificate_in_files_is_followed() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let files = Files::new(plane.folder(), "serving");
    let issue = || plane.pki().server(&["flyball-metrics-server.flyball-system.svc"], &[]);
    let (first, second) = (issue(), issue());
    files.put(&first);
    let certificate = format!("--tls-cert-file={}", files.certificate());
    let key = format!("--tls-private-key-file={}", files.key());
    let server = stage.metrics_server(&["--metric-resolution=1s", &certificate, &key], &[]);
    stage.serve(&[&server]);
    trust_the_authority(&plane);
    stage.eventually_available();
    let mut server = server.ready();
    eventually_shows(&server, &first);
    // A pair that does not belong together changes nothing, and the next one does.
    files.replace(&[("tls.crt", &second.certificate_pem), ("tls.key", &first.key_pem)]);
    server.says(MINUTE, "tls.crt");
    eventually_shows(&server, &first);
    files.put(&second);
    eventually_shows(&server, &second);
    stage.available().expect("the APIServices stay Available");
    plane.admin().eventually_prints(MINUTE, &["get", "--raw", NODES], "node-0");
    server.still_runs();
}

/// Has the API server check the metrics server's certificate, as an install with certificates of its own does.
fn trust_the_authority(plane: &Plane) {
    let bundle = base64::engine::general_purpose::STANDARD.encode(plane.authority_pem());
    let patch = json!({"spec": {"insecureSkipTLSVerify": false, "caBundle": bundle}}).to_string();
    for name in super::stage::API_SERVICES {
        plane.admin().ok(&["patch", "apiservice", name, "--type=merge", "--patch", &patch]);
    }
}

/// The files of the API server that say by whom it is known to aggregated servers.
struct FrontProxy<'a> {
    plane: &'a Plane,
}

impl FrontProxy<'_> {
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.plane.folder().join("pki").join(file), text).expect("a file of the API server");
    }

    fn trust(&self, authorities: &[&CertificateAuthority]) {
        let bundle: String = authorities.iter().map(|it| it.certificate_pem()).collect();
        self.write("front-proxy-ca.crt", &bundle);
    }

    fn show(&self, issued: &Issued) {
        self.write("front-proxy.key", &issued.key_pem);
        self.write("front-proxy.crt", &issued.certificate_pem);
    }
}

impl Drop for FrontProxy<'_> {
    /// The other tests share the plane.
    fn drop(&mut self) {
        self.trust(&[self.plane.pki().front_proxy_authority()]);
        self.show(self.plane.pki().front_proxy());
    }
}

/// Waits until a proxy with this certificate gets this status.
#[track_caller]
fn eventually_gets(server: &Server, proxy: &Issued, wanted: u16) {
    eventually(
        MINUTE * 2,
        &format!("the proxy gets {wanted}"),
        || server.program.state(),
        || {
            let answer = Caller::default().certificate(proxy).for_a_master().get(server.address, NODES)?;
            if answer.status == wanted { Ok(()) } else { Err(format!("{answer:?}")) }
        },
    );
}

#[test]
fn another_front_proxy_authority_is_followed() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let server = stage.metrics();
    let top = || plane.admin().eventually_prints(MINUTE, &["get", "--raw", NODES], "node-0");
    top();
    let (old_authority, old) = (plane.pki().front_proxy_authority(), plane.pki().front_proxy());
    let new_authority = CertificateAuthority::new("front-proxy-ca-2").expect("an authority");
    let new = new_authority.issue_client("front-proxy-client", &[]).expect("a pair");
    eventually_gets(&server, &new, 401);
    let files = FrontProxy { plane: &plane };
    // Both are trusted before the new certificate is used, and for a while after.
    files.trust(&[old_authority, &new_authority]);
    eventually_gets(&server, &new, 200);
    eventually_gets(&server, old, 200);
    files.show(&new);
    plane.admin().ok(&["get", "--raw", NODES]);
    if full() {
        // The API server adds to the ConfigMap what it knows and takes nothing away: that is the administrator's.
        files.trust(&[&new_authority]);
        let patch =
            json!({"data": {"requestheader-client-ca-file": new_authority.certificate_pem()}}).to_string();
        let system = plane.admin().in_namespace("kube-system");
        system.eventually(MINUTE * 3, "only the new authority is trusted", || {
            system.ok(&[
                "patch",
                "configmap",
                "extension-apiserver-authentication",
                "--type=merge",
                "--patch",
                &patch,
            ]);
            let answer = Caller::default().certificate(old).for_a_master().get(server.address, NODES)?;
            if answer.status == 401 { Ok(()) } else { Err(format!("{answer:?}")) }
        });
        top();
        stage.eventually_available();
    }
    drop(files);
    eventually_gets(&server, old, 200);
    top();
}

/// The collector's node and pod: objects that lead to a process of this machine. Gone when dropped: a pod on a node
/// without a kubelet would keep its namespace from ever ending.
#[must_use]
pub struct StandIn(Kubectl);

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.0.run(&[
            "delete",
            "pod/collector-real-0",
            "--ignore-not-found",
            "--force",
            "--grace-period=0",
        ]);
        let _ = self.0.run(&["delete", "node/real-0", "--ignore-not-found"]);
    }
}

/// Makes them.
pub fn stand_in(stage: &Stage<'_>, collector: SocketAddr) -> StandIn {
    let stand_in = StandIn(stage.plane.admin().in_namespace(COLLECTOR));
    let admin = &stand_in.0;
    let address = collector.ip();
    admin.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "real-0"}}));
    let ready = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady"}]);
    let node = json!({"addresses": [{"type": "InternalIP", "address": address}], "conditions": ready});
    admin.ok(&["patch", "node", "real-0", "--subresource=status", "--type=merge", "--patch", &status(&node)]);
    admin.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "collector-real-0", "labels": {"app.kubernetes.io/name": COLLECTOR}},
        "spec": {
            "nodeName": "real-0",
            "serviceAccountName": COLLECTOR,
            "containers": [{"name": "collector", "image": "example.com/collector",
                "ports": [{"name": "https", "containerPort": collector.port()}]}],
        },
    }));
    let container = json!({
        "name": "collector", "image": "x", "imageID": "x", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": null}},
    });
    let pod = json!({
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready,
        "containerStatuses": [container],
    });
    admin.ok(&[
        "patch",
        "pod",
        "collector-real-0",
        "--subresource=status",
        "--type=merge",
        "--patch",
        &status(&pod),
    ]);
    stand_in
}

/// When the collector's node was measured last.
fn measured(kubectl: &Kubectl) -> Result<String, String> {
    let metrics = kubectl.raw(&format!("{NODES}/real-0"))?;
    metrics["timestamp"].as_str().map(str::to_owned).ok_or_else(|| metrics.to_string())
}

/// Waits until it is measured once more.
#[track_caller]
fn measured_again(kubectl: &Kubectl, server: &Server) {
    let before = measured(kubectl).unwrap_or_default();
    eventually(
        MINUTE,
        "the collector's node is measured again",
        || server.program.state(),
        || {
            let now = measured(kubectl)?;
            if now > before { Ok(()) } else { Err(now) }
        },
    );
}

/// What the Secret of the collectors holds under a key.
fn secret(plane: &Plane, key: &str) -> String {
    let object = plane.admin().in_namespace(COLLECTOR).json(&["get", "secret", "flyball-collector-tls"]);
    let encoded = object["data"][key].as_str().unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    String::from_utf8(bytes).expect("PEM is text")
}

/// How many looks at the collector's node failed, by the log.
fn server_failures(server: &Server) -> usize {
    server.program.state().matches("failed to scrape node node=\"real-0\"").count()
}

/// Brings the Secret to the files, as a kubelet does after a while.
fn sync(plane: &Plane, files: &Files) -> Issued {
    let issued = Issued { certificate_pem: secret(plane, "tls.crt"), key_pem: secret(plane, "tls.key") };
    files.put(&issued);
    issued
}

fn set_secret(plane: &Plane, data: &Value) {
    let patch = json!({"data": null, "stringData": data}).to_string();
    let admin = plane.admin().in_namespace(COLLECTOR);
    admin.ok(&["patch", "secret", "flyball-collector-tls", "--type=merge", "--patch", &patch]);
}

#[test]
fn the_collectors_certificate_is_renewed_without_a_gap() {
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    stage.place("behaviour-collector").apply(&workload("Deployment", "web", 1, "50m"));
    let now = SystemTime::now();
    let authority =
        CertificateAuthority::valid_for("old collectors", now, NEARLY_OVER).expect("an authority");
    let old = authority.issue_server_for(&[COLLECTOR], &[], now, NEARLY_OVER).expect("a certificate");
    let data = json!({"tls.crt": old.certificate_pem, "tls.key": old.key_pem, "ca.crt": authority.certificate_pem()});
    set_secret(&plane, &data);
    let files = Files::new(plane.folder(), "collector");
    sync(&plane, &files);
    let mut collector = stage.collector("real-0", &files.certificate(), &files.key()).ready();
    let _stand_in = stand_in(&stage, collector.address);
    let mut server = stage.metrics();
    let admin = plane.admin();
    measured_again(admin, &server);
    let before = server_failures(&server);

    // The metrics server renews; nobody has brought the new one to the collector yet.
    eventually(
        MINUTE,
        "the certificate is renewed",
        || server.program.state(),
        || {
            let changed = secret(&plane, "tls.crt") != old.certificate_pem;
            if changed { Ok(()) } else { Err("the old one".to_owned()) }
        },
    );
    assert_eq!(chain(&secret(&plane, "ca.crt")).len(), 2, "the new authority and the one before");
    measured_again(admin, &server);
    measured_again(admin, &server);
    eventually_shows(&collector, &old);
    let new = sync(&plane, &files);
    eventually_shows(&collector, &new);
    measured_again(admin, &server);
    assert_eq!(server_failures(&server), before, "looks at the node failed: {}", server.program.state());

    if full() {
        // Someone empties the Secret: a new one is made.
        set_secret(&plane, &json!({}));
        eventually(
            MINUTE,
            "there is a certificate again",
            || server.program.state(),
            || {
                let made = ![String::new(), new.certificate_pem.clone()].contains(&secret(&plane, "tls.crt"));
                if made { Ok(()) } else { Err("none".to_owned()) }
            },
        );
        let newest = sync(&plane, &files);
        eventually_shows(&collector, &newest);
        measured_again(admin, &server);
    }
    collector.still_runs();
    server.still_runs();
}

/// A token of a service account that is worth nothing once the Secret `name` is gone.
fn bound_token(plane: &Plane, account: &str, name: &str) -> String {
    let system = plane.admin().in_namespace(SYSTEM);
    system.ok(&["delete", "secret", name, "--ignore-not-found"]);
    system.ok(&["create", "secret", "generic", name]);
    let bound = format!("--bound-object-name={name}");
    system.ok(&["create", "token", account, "--bound-object-kind=Secret", &bound]).trim().to_owned()
}

/// A kubeconfig that names a file with the token, as a pod's volume holds it.
fn by_file(plane: &Plane, account: &str, files: &Files) -> String {
    let user = json!({"tokenFile": files.path("token")});
    let path = plane.kubeconfig_with(&format!("{account}-by-file"), &user, SYSTEM);
    path.display().to_string()
}

#[test]
fn token_files_are_followed() {
    if !full() {
        // Files of tokens are read once a minute, and a new one is there an hour before the old one ends.
        return skipped("only in full form: FLYBALL_E2E=full");
    }
    let Some(plane) = Plane::shared(alone_at_scaling()) else { return };
    let stage = Stage::set(&plane, 1);
    let place = stage.place("behaviour-tokens");
    let accounts = [METRICS_SERVER, HPA];
    let files = accounts.map(|account| {
        let files = Files::new(plane.folder(), account);
        files.replace(&[("token", &bound_token(&plane, account, &format!("first-{account}")))]);
        files
    });
    let kubeconfigs = [0, 1].map(|index| by_file(&plane, accounts[index], &files[index]));
    let mut server = stage.metrics_server(&["--metric-resolution=1s"], &[("KUBECONFIG", &kubeconfigs[0])]);
    stage.serve(&[&server]);
    let mut hpa = stage.hpa_with(&["--mode=replace"], &[("KUBECONFIG", &kubeconfigs[1])]).ready();
    place.apply(&workload("Deployment", "web", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "web", 10, 0));
    eventually_replicas(&place, SCALE_LIMIT, "deployment/web", 3);

    for (account, files) in accounts.iter().zip(&files) {
        files.replace(&[("token", &bound_token(&plane, account, &format!("second-{account}")))]);
        plane.admin().in_namespace(SYSTEM).ok(&["delete", "secret", &format!("first-{account}")]);
    }
    assert!(Path::new(&files[0].path("token")).exists());
    // From now on the first tokens are refused: what is done is done with the second ones.
    stage.sim.set_load_cpu("behaviour-tokens", "web", "280m").expect("an amount");
    eventually_replicas(&place, SCALE_LIMIT * 2, "deployment/web", 6);
    place.apply(&workload("Deployment", "new", 1, "140m"));
    place.apply(&autoscaler("apps/v1", "Deployment", "new", 10, 0));
    eventually_replicas(&place, SCALE_LIMIT, "deployment/new", 3);
    holds_rights(&plane);
    server.still_runs();
    hpa.still_runs();
    for account in accounts {
        plane.admin().in_namespace(SYSTEM).ok(&["delete", "secret", &format!("second-{account}")]);
    }
}

/// People who ask are still judged: that takes a valid token of the metrics server.
fn holds_rights(plane: &Plane) {
    plane.viewer().eventually_prints(MINUTE * 2, &["get", "--raw", NODES], "node-0");
}

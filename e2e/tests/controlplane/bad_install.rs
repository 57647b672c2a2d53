//! Installs that cannot work: the programs say from the start, in one line, what is wrong and how to mend it, name the
//! object, go on running, and recover when it is mended.
#![allow(clippy::disallowed_methods, reason = "edge: writes certificates and tokens that are wrong")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flyball_apiserver::certs::{CertificateAuthority, Issued};
use flyball_e2e::plane::{Needs, Plane};
use flyball_e2e::{MINUTE, Program, SHORT, eventually, full};
use serde_json::{Value, json};

use crate::behaviour::certificates::stand_in;
use crate::behaviour::manifests::Manifests;
use crate::behaviour::stage::{API_SERVICES, COLLECTOR, HPA, METRICS_SERVER, Server, Stage};
use crate::shipped::SYSTEM;

/// Longest time to take something mended into force: files and tokens are read again within a minute.
const MENDED_LIMIT: Duration = Duration::from_secs(120);

/// Longest time of a program to end that cannot start.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Namespace of a second install.
const SECOND: &str = "flyball-second";

fn needs() -> Needs {
    Needs::light().no_hpa_loop().own_control_plane()
}

/// The lines about what is wrong, by anyone who asks.
fn findings(server: &Server) -> Result<String, String> {
    let body = server.anonymous("/readyz?verbose")?.body;
    Ok(body.lines().filter(|line| line.starts_with("[!]")).collect::<Vec<_>>().join("\n"))
}

/// Waits until one line of `/readyz?verbose` holds all of `parts`.
#[track_caller]
fn tells(server: &Server, parts: &[&str]) {
    eventually(
        MINUTE,
        &format!("one line holds {parts:?}"),
        || server.program.state(),
        || {
            let found = findings(server)?;
            let told = found.lines().any(|line| parts.iter().all(|part| line.contains(part)));
            if told { Ok(()) } else { Err(found) }
        },
    );
}

/// Waits until nothing is told any more that holds `part`.
#[track_caller]
fn is_mended(server: &Server, part: &str) {
    eventually(
        MENDED_LIMIT,
        &format!("{part} is mended"),
        || server.program.state(),
        || {
            let found = findings(server)?;
            if found.contains(part) { Err(found) } else { Ok(()) }
        },
    );
}

/// Fails unless a program ends by itself with one sentence that holds all of `parts`.
#[track_caller]
fn ends_saying(program: &mut Program, parts: &[&str]) {
    let status = program.wait(END_LIMIT);
    assert!(status.is_some_and(|status| status.code() == Some(1)), "must exit with 1: {}", program.state());
    let state = program.state();
    let said: Vec<_> = state.lines().filter(|line| line.starts_with("flyball: ")).collect();
    let [sentence] = said.as_slice() else { panic!("one sentence wanted: {state}") };
    assert!(parts.iter().all(|part| sentence.contains(part)), "wanted {parts:?} in: {state}");
}

/// An authority that nobody knows.
fn stranger() -> CertificateAuthority {
    CertificateAuthority::new("a stranger").expect("an authority")
}

/// Files of a serving certificate.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn write(folder: &Path, issued: &Issued) -> Self {
        let pair = Self { certificate: folder.join("bad-install.crt"), key: folder.join("bad-install.key") };
        std::fs::write(&pair.certificate, &issued.certificate_pem).expect("the certificate is written");
        std::fs::write(&pair.key, &issued.key_pem).expect("the key is written");
        pair
    }

    fn names(&self) -> [&str; 2] {
        [&self.certificate, &self.key].map(|path| path.to_str().expect("a path in UTF-8"))
    }
}

/// Starts a program as shipped with other flags, and with other credentials if any are given.
fn start(stage: &Stage<'_>, name: &str, extra: &[String], kubeconfig: Option<&Path>) -> Server {
    let (namespace, port) = match name {
        METRICS_SERVER => (SYSTEM, 4443),
        HPA => (SYSTEM, 8443),
        _ => (COLLECTOR, 4194),
    };
    let address = stage.plane.address();
    let mut others = vec![format!("--bind-address={address}")];
    others.extend(extra.iter().cloned());
    if name == COLLECTOR {
        let issued = stranger().issue_server(&[COLLECTOR], &[]).expect("a certificate");
        let pair = Pair::write(stage.plane.folder(), &issued);
        let [certificate, key] = pair.names();
        let files = [format!("--tls-cert-file={certificate}"), format!("--tls-private-key-file={key}")];
        others.extend(files);
        others.push("--node-name=real-0".to_owned());
    }
    let arguments = stage.shipped.arguments(name, &others);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let kubeconfig = kubeconfig.map(|path| ("KUBECONFIG", path.to_str().expect("a path in UTF-8")));
    let program = stage.plane.run_as_with(namespace, name, &arguments, kubeconfig.as_slice());
    Server { program, address: (address, port).into() }
}

#[test]
fn another_product_owns_the_metrics_api() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 1);
    for name in API_SERVICES {
        let (version, group) = name.split_once('.').expect("a version and a group");
        plane.admin().apply(&json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name, "labels": {"k8s-app": "metrics-server"}},
            "spec": {
                "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": {"namespace": "kube-system", "name": "metrics-server"},
            },
        }));
    }
    let mut server = stage.metrics_server(&["--metric-resolution=1s"], &[]);
    for name in API_SERVICES {
        let owner = "(labelled k8s-app=metrics-server) points to Service kube-system/metrics-server";
        tells(&server, &[&format!("api-service {name}"), owner, "apply deploy/ again"]);
    }
    stage.serve(&[&server]);
    is_mended(&server, "api-service");
    server.still_runs();
}

#[test]
fn permissions_are_missing() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 1);
    let bindings = ["flyball:hpa", "flyball:metrics-server", "flyball:collector"];
    plane.admin().ok(&[&["delete", "clusterrolebinding"], &bindings[..]].concat());
    let mut server = stage.metrics_server(&["--metric-resolution=1s"], &[]);
    let mut collector = start(&stage, COLLECTOR, &[], None);
    let mut hpa = stage.hpa(&["--mode=replace"]);
    let account = "system:serviceaccount:flyball-system:flyball-metrics-server may not";
    tells(
        &server,
        &[
            &format!("{account} list nodes: without it no node is found"),
            "ClusterRole flyball:metrics-server",
        ],
    );
    tells(&server, &[&format!("{account} get nodes/metrics"), "apply deploy/ again"]);
    tells(&collector, &["flyball-collector may not list pods: without it", "ClusterRole flyball:collector"]);
    eventually(
        SHORT,
        "the autoscaler tells",
        || hpa.program.state(),
        || {
            let told = hpa.anonymous("/readyz/permissions")?.body;
            let wanted =
                ["cannot list horizontalpodautoscalers", "nothing is scaled", "ClusterRole flyball:hpa"];
            let found = told.lines().any(|line| wanted.iter().all(|part| line.contains(part)));
            if found { Ok(()) } else { Err(told) }
        },
    );
    hpa.says(SHORT, "a permission is missing: cannot list horizontalpodautoscalers");
    stage.shipped.apply(&plane);
    is_mended(&server, "permission");
    is_mended(&collector, "permission");
    [&mut server, &mut collector, &mut hpa].into_iter().for_each(Server::still_runs);
    hpa.ready();
    server.ready();
}

#[test]
fn a_second_flyball_stands_back_and_says_so() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 1);
    let _first_server = stage.metrics();
    let own = format!("--own-service={SECOND}/{METRICS_SERVER}");
    let mut server = stage.metrics_server(&[&own], &[]);
    let theirs =
        format!("points to Service {SYSTEM}/{METRICS_SERVER} and not to ours, {SECOND}/{METRICS_SERVER}");
    for name in API_SERVICES {
        tells(&server, &[&format!("api-service {name}"), &theirs]);
    }
    let first = stage.hpa(&["--mode=replace"]).ready();
    let lease =
        ["get", "lease", HPA, "--output", "jsonpath={.metadata.annotations.hpa\\.flyball\\.io/acting}"];
    plane.admin().in_namespace(SYSTEM).eventually_prints(MINUTE, &lease, "true");
    let second = Manifests::of_overlay(&plane, "hpa-replace").in_namespace(SECOND);
    second.apply(&plane);
    let mut other = stage.hpa_of(&second, &["--mode=replace"]);
    other.says(MINUTE, "another Flyball scales this cluster already: pod ");
    other.says(
        SHORT,
        "of namespace flyball-system; this one only watches; remove one of the two installations",
    );
    drop(first);
    other.says(MENDED_LIMIT, "no other HPA loop answers: scaling");
    [&mut server, &mut other].into_iter().for_each(Server::still_runs);
    drop(other);
    second.remove(&plane);
    plane.remove_namespace(SECOND);
}

/// A kubeconfig like the administrator's with another authority and user.
fn kubeconfig(plane: &Plane, name: &str, authority_pem: &str, user: &Value) -> PathBuf {
    let cluster =
        json!({"server": plane.url(), "certificate-authority-data": STANDARD.encode(authority_pem)});
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let path = plane.folder().join(name);
    std::fs::write(&path, text.to_string()).expect("the kubeconfig is written");
    path
}

#[test]
fn the_api_servers_certificate_is_not_accepted() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 0);
    let token = plane.token_of(SYSTEM, HPA, &[]);
    let path = kubeconfig(&plane, "wrong-ca", &stranger().certificate_pem(), &json!({"token": token}));
    let mut hpa = start(&stage, HPA, &[], Some(&path));
    let servers = [METRICS_SERVER, COLLECTOR].map(|name| start(&stage, name, &[], Some(&path)));
    let parts = [plane.url(), "not signed by the certificate authority given", "certificate-authority"];
    ends_saying(&mut hpa.program, &parts);
    for mut server in servers {
        tells(
            &server,
            &["api-server: the API server's certificate is not accepted", "certificate-authority"],
        );
        server.still_runs();
    }
}

#[test]
fn the_nodes_certificates_are_not_accepted() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 1);
    let file = plane.folder().join("kubelets.crt");
    std::fs::write(&file, stranger().certificate_pem()).expect("the authority is written");
    let flags =
        [format!("--kubelet-certificate-authority={}", file.display()), "--metric-resolution=1s".to_owned()];
    let mut server = start(&stage, METRICS_SERVER, &flags, None);
    stage.serve(&[&server]);
    tells(&server, &["node-0", "is not accepted"]);
    std::fs::write(&file, stage.sim.authority_pem().expect("an authority"))
        .expect("the authority is written");
    is_mended(&server, "node-0");
    // The collector shows a certificate that the metrics server has not made.
    let mut collector = start(&stage, COLLECTOR, &[], None);
    let stand_in = stand_in(&stage, collector.address);
    tells(&server, &["real-0", "is not accepted"]);
    let secret = plane.admin().in_namespace(COLLECTOR).json(&["get", "secret", "flyball-collector-tls"]);
    let pem = |key: &str| {
        let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap_or_default()).expect("base64");
        String::from_utf8(bytes).expect("PEM is text")
    };
    let issued = Issued { certificate_pem: pem("tls.crt"), key_pem: pem("tls.key") };
    Pair::write(plane.folder(), &issued);
    is_mended(&server, "real-0");
    [&mut server, &mut collector].into_iter().for_each(Server::still_runs);
    drop(stand_in);
}

#[test]
fn the_aggregators_certificate_is_not_accepted() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 0);
    let file = plane.folder().join("aggregator.crt");
    std::fs::write(&file, stranger().certificate_pem()).expect("the authority is written");
    let flags = [
        format!("--requestheader-client-ca-file={}", file.display()),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ];
    let mut server = start(&stage, METRICS_SERVER, &flags, None);
    stage.serve(&[&server]);
    tells(
        &server,
        &["front-proxy: ", "requestheader-client-ca-file", "--proxy-client-cert-file", "front-proxy-ca"],
    );
    if full() {
        let right = plane.pki().front_proxy_authority().certificate_pem();
        std::fs::write(&file, right).expect("the authority is written");
        is_mended(&server, "front-proxy");
    }
    server.still_runs();
}

/// A token like `token` that ended long ago; its signature is wrong as well, which is seen first by nobody.
fn expired(token: &str) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let payload = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64");
    let mut claims: Value = serde_json::from_slice(&payload).expect("a payload of JSON");
    claims["exp"] = json!(1_600_000_000);
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

#[test]
fn tokens_have_expired() {
    let Some(plane) = Plane::shared(needs()) else { return };
    let stage = Stage::set(&plane, 0);
    let token = plane.token_of(SYSTEM, HPA, &[]);
    let user = json!({"token": expired(&token)});
    let fixed = kubeconfig(&plane, "expired", &plane.authority_pem(), &user);
    let mut hpa = start(&stage, HPA, &[], Some(&fixed));
    // A file may get a new one, as it does in pods.
    let file = plane.folder().join("token");
    std::fs::write(&file, expired(&token)).expect("the token is written");
    let followed = kubeconfig(&plane, "expired-file", &plane.authority_pem(), &json!({"tokenFile": file}));
    let mut waiting = start(&stage, HPA, &["--mode=replace".to_owned()], Some(&followed));
    let mut servers = [METRICS_SERVER, COLLECTOR].map(|name| start(&stage, name, &[], Some(&followed)));
    ends_saying(&mut hpa.program, &[plane.url(), "expired at 2020-09-13T12:26:40Z", "kubectl create token"]);
    waiting.says(SHORT, "refuses the credentials (401 Unauthorized)");
    for server in &servers {
        tells(
            server,
            &["api-server: the API server does not accept our credentials (401 Unauthorized)", "expired"],
        );
    }
    std::fs::write(&file, &token).expect("the token is written");
    for server in &servers {
        is_mended(server, "api-server: ");
    }
    waiting.says(MENDED_LIMIT, "the API server answers");
    servers.iter_mut().chain([&mut waiting]).for_each(Server::still_runs);
}

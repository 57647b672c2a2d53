//! Whole kubelets, asked over TLS.

#![allow(clippy::disallowed_methods, reason = "tests connect to the kubelets")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use flyball_apiserver::CertificateAuthority;

use super::demand::{Amount, Demand};
use super::pod::{Running, SimulatedPod};
use super::*;

/// Longest a test waits for bytes.
const READ_LIMIT: Duration = Duration::from_secs(10);

fn config(nodes: u16) -> Config {
    let mut config = Config::new("sim", (0..nodes).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    config.sampling = Sampling::Continuous;
    config
}

fn pod() -> SimulatedPod {
    SimulatedPod {
        namespace: "shop".to_owned(),
        name: "web-1".to_owned(),
        node: "sim-0".to_owned(),
        app: "web".to_owned(),
        containers: vec![Running { name: "main".to_owned(), started_ms: 1_000 }],
        takes_load: true,
        own: Demand { cpu: Some(Amount::Whole(1)), memory: Some(Amount::Whole(7)) },
        load: Demand::default(),
    }
}

/// A connection that verifies the kubelet by its address.
fn connect(
    simulation: &Simulation,
    node: usize,
    client: Option<(&str, &str)>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let pem = simulation.authority_pem().unwrap();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    };
    let address = simulation.nodes()[node].1;
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(READ_LIMIT)).unwrap();
    let name = ServerName::from(address.ip());
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

/// The whole answer, up to the end of the connection.
fn ask(simulation: &Simulation, path: &str, headers: &str) -> String {
    let mut stream = connect(simulation, 0, None);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that breaks off ends with an error after what was sent.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const TOKEN: &str = "Authorization: Bearer any\r\n";

#[test]
fn a_kubelet_answers_who_shows_credentials() {
    let simulation = Simulation::start(config(2)).unwrap();
    simulation.place(pod());
    let refused = ask(&simulation, "/metrics/resource", "");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let answer = ask(&simulation, "/metrics/resource", TOKEN);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores\r\n")
    );
    let series = "container_memory_working_set_bytes{container=\"main\",namespace=\"shop\",pod=\"web-1\"} 7 ";
    assert!(answer.contains(series), "{answer}");
    assert!(ask(&simulation, "/healthz", TOKEN).ends_with("\r\n\r\nok"));
    assert!(ask(&simulation, "/other", TOKEN).starts_with("HTTP/1.1 404 "));
    assert_eq!((simulation.requests("sim-0").unwrap(), simulation.requests("sim-1").unwrap()), (1, 0));
}

#[test]
fn answers_are_compressed_for_those_who_ask_and_connections_are_kept() {
    let simulation = Simulation::start(config(1)).unwrap();
    simulation.place(pod());
    let packed = ask(&simulation, "/metrics/resource", &format!("{TOKEN}Accept-Encoding: deflate, gzip\r\n"));
    assert!(packed.contains("content-encoding: gzip\r\n"), "{packed}");
    let mut stream = connect(&simulation, 0, None);
    for _ in 0..2 {
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: node\r\n{TOKEN}\r\n").unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = Vec::new();
        while !rest.ends_with(b"\r\n\r\nok") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            rest.push(byte[0]);
        }
    }
}

#[test]
fn a_client_certificate_of_the_given_authority_counts() {
    let authority = CertificateAuthority::new("clients").unwrap();
    let mut config = config(1);
    config.credentials = Credentials::Demanded { client_authority_pem: Some(authority.certificate_pem()) };
    let simulation = Simulation::start(config).unwrap();
    let issued = authority.issue_client("reader", &[]).unwrap();
    let mut stream = connect(&simulation, 0, Some((&issued.certificate_pem, &issued.key_pem)));
    write!(stream, "GET /metrics/resource HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[test]
fn a_kubelet_can_be_wrong_in_many_ways() {
    let simulation = Simulation::start(config(1)).unwrap();
    simulation.place(pod());
    let with = |answer: Answer| {
        simulation.set_fault("sim-0", Fault { answer, ..Fault::default() }).unwrap();
        ask(&simulation, "/metrics/resource", TOKEN)
    };
    assert!(with(Answer::Status(503)).starts_with("HTTP/1.1 503 "));
    assert!(with(Answer::Garbage).contains('\0'));
    let body = Answer::Body { content_type: "text/html".to_owned(), body: "<p>".into() };
    assert!(with(body).ends_with("\r\n\r\n<p>"));
    let (head, half) =
        with(Answer::Truncated).split_once("\r\n\r\n").map(|(a, b)| (a.to_owned(), b.len())).unwrap();
    let promised = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(half, promised.parse::<usize>().unwrap() / 2);
    let skewed = Fault { skew_ms: 3_600_000, ..Fault::default() };
    simulation.set_fault("sim-0", skewed).unwrap();
    let answer = ask(&simulation, "/metrics/resource", TOKEN);
    let stamp = answer.lines().find_map(|line| line.strip_prefix("node_memory_working_set_bytes ")).unwrap();
    let stamp: i64 = stamp.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(stamp - clock::now_ms() > 3_500_000, "{stamp}");
    assert!(simulation.set_fault("other", Fault::default()).is_err());
}

#[test]
fn what_the_handle_knows() {
    let simulation = Simulation::start(config(1)).unwrap();
    simulation.place(pod());
    simulation.set_load_cpu("shop", "web", "300m").unwrap();
    simulation.set_load_memory("shop", "web", "1Mi").unwrap();
    let usage = simulation.usage("shop")["web-1"]["main"];
    assert_eq!(usage, meter::Usage { nanocores: 300_000_000, bytes: 1 << 20 });
    assert_eq!(simulation.node_usage("sim-0").unwrap().nanocores, 300_000_000 + node::SYSTEM.nanocores);
    simulation.hide("shop", "web-1", "main", true).unwrap();
    assert!(!ask(&simulation, "/metrics/resource", TOKEN).contains("container=\"main\""));
    let error = simulation.restart_counter("shop", "web-1", "none").unwrap_err().to_string();
    assert_eq!(error, "there is no container shop/web-1/none in this simulation");
    simulation.take_away("shop", "web-1");
    assert!(simulation.usage("shop").is_empty());
}

//! The way to one node's endpoint, hop by hop: what holds on each, and on the one that fails, why and what mends it.
//!
//! It is the way that scraping takes, with the same settings and the same certificates and requests, so what is found
//! here is what scraping meets.
#![allow(clippy::disallowed_methods, reason = "an edge: dials nodes and reads the clock")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

use crate::config::{Endpoint, Transport};
use crate::exchange::{self, Access, Answer};
use crate::failure::{ScrapeError, Stage};
use crate::session::{Buffers, Session};
use crate::target::Target;
use crate::tls::{Connector, Presented, Refused, explain};

/// One hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// Which of the node's addresses, and which port.
    Address,
    /// A TCP connection.
    Tcp,
    /// The certificate.
    Certificate,
    /// Whether we are known.
    Authentication,
    /// Whether we may.
    Authorization,
    /// The answer as a whole.
    Body,
    /// The series in it.
    Series,
}

impl Hop {
    /// Its name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Hop::Address => "address",
            Hop::Tcp => "tcp",
            Hop::Certificate => "certificate",
            Hop::Authentication => "authentication",
            Hop::Authorization => "authorization",
            Hop::Body => "body",
            Hop::Series => "series",
        }
    }
}

/// What was found on a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub hop: Hop,
    /// What holds, or what fails.
    pub found: Result<String, Fault>,
}

/// A hop that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What mends it; empty where `what` says it.
    pub fix: String,
}

/// Goes all the way and stops at the first hop that fails.
pub async fn examine(target: &Target, endpoint: &Endpoint, user_agent: &str, limit: Duration) -> Vec<Step> {
    let mut steps = Steps(Vec::new());
    // The first hop that fails ends it; what it was is among the steps.
    let _ = walk(&mut steps, target, endpoint, user_agent, limit).await;
    steps.0
}

struct Steps(Vec<Step>);

impl Steps {
    fn good(&mut self, hop: Hop, what: impl Into<String>) {
        self.0.push(Step { hop, found: Ok(what.into()) });
    }

    /// `None`, to leave with.
    fn bad(&mut self, hop: Hop, what: impl Into<String>, fix: impl Into<String>) -> Option<()> {
        self.0.push(Step { hop, found: Err(Fault { what: what.into(), fix: fix.into() }) });
        None
    }
}

async fn walk(
    steps: &mut Steps,
    target: &Target,
    endpoint: &Endpoint,
    user_agent: &str,
    limit: Duration,
) -> Option<()> {
    match &target.host {
        Ok(_) => steps.good(Hop::Address, format!("{}{}", target.authority(), target.path)),
        Err(reason) => {
            return steps.bad(
                Hop::Address,
                reason,
                "name a type of address that the node has with --kubelet-preferred-address-types (see `kubectl get node \
                 -o wide`)",
            );
        }
    }
    let socket = connect(steps, target, limit).await?;
    if let Transport::Tls(settings) = &endpoint.transport {
        handshake(steps, target, &Connector::new(settings), socket, limit).await?;
    } else {
        steps.good(Hop::Certificate, "none: plain HTTP, without credentials");
    }
    let access = Access::new(endpoint, user_agent);
    let answer = exchange::ask(target, &access, &mut None, limit).await;
    let answer = answered(steps, answer)?;
    series(steps, &answer)
}

async fn connect(steps: &mut Steps, target: &Target, limit: Duration) -> Option<TcpStream> {
    let host = target.host.as_deref().unwrap_or_default();
    let started = Instant::now();
    let what = match tokio::time::timeout(limit, TcpStream::connect((host, target.port))).await {
        Ok(Ok(socket)) => {
            let peer = socket.peer_addr().map_or_else(|_| target.authority(), |peer| peer.to_string());
            steps.good(Hop::Tcp, format!("{peer} connects in {} ms", started.elapsed().as_millis()));
            return Some(socket);
        }
        Ok(Err(error)) => error,
        Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut),
    };
    steps.bad(Hop::Tcp, format!("{}: {what}", target.authority()), unreachable_fix(what.kind(), host));
    None
}

/// What mends a connection that does not come about.
fn unreachable_fix(kind: std::io::ErrorKind, host: &str) -> &'static str {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::ConnectionRefused => {
            "nothing listens there: see that the kubelet runs, and that its port is the one of --kubelet-port (10250) or, \
             with --kubelet-use-node-status-port, of the Node's status"
        }
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "packets do not arrive: let a firewall, security group or NetworkPolicy pass them from here to that port, or \
             choose addresses that can be reached from here with --kubelet-preferred-address-types; pods that cannot \
             reach nodes at all need hostNetwork: true"
        }
        _ if host.parse::<std::net::IpAddr>().is_err() => {
            "the name is not known here: put InternalIP first in --kubelet-preferred-address-types, or let the DNS know it"
        }
        _ => "see that the address is one of the node's and can be reached from here",
    }
}

async fn handshake(
    steps: &mut Steps,
    target: &Target,
    tls: &Connector,
    socket: TcpStream,
    limit: Duration,
) -> Option<()> {
    let host = target.host.as_deref().unwrap_or_default();
    let refused = Arc::new(Refused::default());
    let (config, name) = match tls.prepare(host, &target.node, &refused) {
        Ok(prepared) => prepared,
        Err(reason) => {
            return steps.bad(Hop::Certificate, reason, "see that the files of the flags can be read");
        }
    };
    let mut buffers = Buffers::default();
    let connecting = Session::open(socket, config, name, &mut buffers);
    match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(session)) => {
            let presented = session.peer_certificate().and_then(Presented::of).unwrap_or_default();
            steps.good(Hop::Certificate, accepted(&presented, host, &target.node));
            Some(())
        }
        Ok(Err(error)) => {
            let why = |error: &rustls::CertificateError| {
                explain(target.kind, tls.trust(), host, error, &refused.take())
            };
            let error = ScrapeError::of_handshake(target.authority(), &error, why).to_string();
            // The text ends with the fix, behind a semicolon.
            let (what, fix) = error.split_once("; ").unwrap_or((&error, ""));
            steps.bad(Hop::Certificate, what, fix)
        }
        Err(_) => steps.bad(
            Hop::Certificate,
            format!("the TLS handshake takes longer than {} s", limit.as_secs_f64()),
            "see that it is a kubelet's port, and how busy the node is",
        ),
    }
}

fn accepted(presented: &Presented, host: &str, node: &str) -> String {
    let named = |name: &str| presented.names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let by = match (named(host), named(node)) {
        (true, _) => format!("it is for {host}"),
        (false, true) => format!("it does not name {host} and is accepted for the node's name {node}"),
        (false, false) => "its names are not checked".to_owned(),
    };
    format!("issued by {:?}; {by}", presented.issuer)
}

/// The answer, if there is one.
fn answered(steps: &mut Steps, answer: Result<Answer, ScrapeError>) -> Option<Answer> {
    let error = match answer {
        Ok(answer) => {
            steps.good(Hop::Authentication, "accepted");
            steps.good(Hop::Authorization, "allowed");
            return Some(answer);
        }
        Err(error) => error,
    };
    let hop = match &error {
        ScrapeError::Status { code: 401, .. } | ScrapeError::Credentials(_) => Hop::Authentication,
        // A server that demands a client certificate says so in the handshake or right after it.
        ScrapeError::Handshake { .. } | ScrapeError::Certificate { .. } => Hop::Authentication,
        ScrapeError::Broken { reason, .. } if reason.contains("certificate") => Hop::Authentication,
        ScrapeError::Status { code: 403, .. } => Hop::Authorization,
        _ => Hop::Body,
    };
    if hop > Hop::Authentication {
        steps.good(Hop::Authentication, "accepted");
    }
    if hop > Hop::Authorization {
        steps.good(Hop::Authorization, "allowed");
    }
    let text = error.to_string();
    let (what, mut fix) = match text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
        Some((what, rest)) if matches!(error, ScrapeError::Status { .. }) => {
            (what.to_owned(), rest.to_owned())
        }
        _ => (text.clone(), String::new()),
    };
    if fix.is_empty() {
        body_fix(&error).clone_into(&mut fix);
    }
    steps.bad(hop, what, fix);
    None
}

fn body_fix(error: &ScrapeError) -> &'static str {
    match error {
        ScrapeError::Timeout { stage: Stage::Answer | Stage::Body, .. } => {
            "the kubelet measures too long: see how busy the node and its container runtime are, or give it longer with \
             --kubelet-request-timeout"
        }
        ScrapeError::TooLarge { .. } | ScrapeError::Unreadable { .. } => {
            "see that a kubelet answers there and not a proxy or another program: `kubectl get --raw \
             /api/v1/nodes/NODE/proxy/metrics/resource`"
        }
        ScrapeError::Status { .. } | ScrapeError::Broken { .. } => {
            "see the kubelet's log on the node (journalctl -u kubelet)"
        }
        _ => "",
    }
}

/// Series that usage is computed from.
const NODE_SERIES: [&str; 2] = ["node_cpu_usage_seconds_total", "node_memory_working_set_bytes"];
const CONTAINER_SERIES: [&str; 2] =
    ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"];
/// A clock that differs by more than this is worth a word.
const SKEW_MS: i64 = 60_000;

fn series(steps: &mut Steps, answer: &Answer) -> Option<()> {
    let mut names = BTreeSet::new();
    let (mut count, mut containers, mut newest_ms) = (0_usize, 0_usize, None);
    for sample in answer.samples.iter() {
        count += 1;
        names.insert(sample.name.to_string());
        containers += usize::from(sample.name == CONTAINER_SERIES[0]);
        newest_ms = newest_ms.max(sample.timestamp_ms);
    }
    steps.good(Hop::Body, format!("{count} samples"));
    let missing: Vec<&str> =
        NODE_SERIES.into_iter().chain(CONTAINER_SERIES).filter(|name| !names.contains(*name)).collect();
    let own: Vec<&&str> = missing.iter().filter(|name| NODE_SERIES.contains(name)).collect();
    if !own.is_empty() {
        return steps.bad(
            Hop::Series,
            format!("the answer lacks {}", missing.join(", ")),
            "the kubelet cannot read its control groups: see its log for errors of cadvisor or of the container runtime",
        );
    }
    let age_ms = newest_ms.map(|newest| unix_ms() - newest);
    if let Some(age_ms) = age_ms.filter(|age_ms| age_ms.abs() > SKEW_MS) {
        let (seconds, way) = (age_ms.abs() / 1000, if age_ms > 0 { "old" } else { "in the future" });
        return steps.bad(
            Hop::Series,
            format!("the newest sample is {seconds} s {way}"),
            "compare the clocks of the node and of this machine (chronyc tracking, timedatectl)",
        );
    }
    let age = age_ms.map_or_else(String::new, |age_ms| format!(", {:.1} s old", age_ms as f64 / 1e3));
    steps.good(Hop::Series, format!("the node and {containers} containers{age}"));
    Some(())
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

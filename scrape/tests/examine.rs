//! The way to a node, hop by hop, against a server in this process that answers well or badly.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test with a server of its own")]
#![allow(dead_code, reason = "the server is shared between test programs")]

mod server;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyball_scrape::config::{Endpoint, Token, Transport};
use flyball_scrape::examine::{Hop, Step, examine};
use flyball_scrape::target::Target;
use flyball_scrape::tls::{TlsSettings, Trust};
use server::{Answer, Server};

const LIMIT: Duration = Duration::from_secs(10);

fn good_text() -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!(
        "node_cpu_usage_seconds_total 12.5 {now_ms}\nnode_memory_working_set_bytes 1024 {now_ms}\n\
         container_cpu_usage_seconds_total{{container=\"c\",namespace=\"n\",pod=\"p\"}} 1 {now_ms}\n\
         container_memory_working_set_bytes{{container=\"c\",namespace=\"n\",pod=\"p\"}} 1 {now_ms}\n"
    )
}

fn endpoint(trust: Trust) -> Endpoint {
    Endpoint { transport: Transport::Tls(TlsSettings::new(trust)), token: Token::Fixed("secret".to_owned()) }
}

async fn way(server: &Server) -> Vec<Step> {
    let target = Target::kubelet("n1", "127.0.0.1", server.port);
    examine(&target, &endpoint(Trust::Roots(vec![server.authority.clone()])), "test", LIMIT).await
}

/// The last hop, what was found there and what mends it; all before it hold.
fn end(steps: Vec<Step>) -> (Hop, String, String) {
    let (last, before) = steps.split_last().unwrap();
    assert!(before.iter().all(|step| step.found.is_ok()), "{steps:?}");
    match &last.found {
        Ok(what) => (last.hop, what.clone(), String::new()),
        Err(fault) => (last.hop, fault.what.clone(), fault.fix.clone()),
    }
}

#[tokio::test]
async fn a_good_kubelet_holds_on_every_hop() {
    let server = Server::start(Answer::text(&good_text()), &["127.0.0.1"]).await;
    let steps = way(&server).await;
    let hops: Vec<Hop> = steps.iter().map(|step| step.hop).collect();
    let all = [
        Hop::Address,
        Hop::Tcp,
        Hop::Certificate,
        Hop::Authentication,
        Hop::Authorization,
        Hop::Body,
        Hop::Series,
    ];
    assert_eq!(hops, all, "{steps:?}");
    assert_eq!(
        steps[2].found.as_ref().unwrap(),
        "issued by \"authority of [\\\"127.0.0.1\\\"]\"; it is for 127.0.0.1"
    );
    assert!(end(steps).1.starts_with("the node and 1 containers, "));
}

#[tokio::test]
async fn a_certificate_without_addresses_is_accepted_by_the_nodes_name() {
    let server = Server::start(Answer::text(&good_text()), &["n1"]).await;
    let steps = way(&server).await;
    let told = steps[2].found.clone().unwrap();
    assert!(told.ends_with("it does not name 127.0.0.1 and is accepted for the node's name n1"), "{told}");
    assert_eq!(end(steps).0, Hop::Series);
}

#[tokio::test]
async fn each_hop_can_fail_and_has_its_fix() {
    let html = Answer::text("<html>\n").header("content-type: text/html");
    let half = Answer::text("node_cpu_usage_seconds_total 12.5\n");
    let old = Answer::text(
        &good_text()
            .lines()
            .map(|line| {
                let (series, _) = line.rsplit_once(' ').unwrap();
                format!("{series} 1700000000000\n")
            })
            .collect::<String>(),
    );
    for (answer, hop, what, fix) in [
        (
            Answer::text("").status("401 Unauthorized"),
            Hop::Authentication,
            "status 401",
            "authentication.webhook.enabled",
        ),
        (Answer::text("").status("403 Forbidden"), Hop::Authorization, "status 403", "nodes/metrics"),
        (Answer::text("").status("500 Internal Server Error"), Hop::Body, "status 500", "journalctl"),
        (html, Hop::Body, "cannot be read", "a kubelet answers there"),
        (half, Hop::Series, "lacks node_memory_working_set_bytes", "control groups"),
        (old, Hop::Series, "the newest sample is", "clocks"),
    ] {
        let server = Server::start(answer, &["127.0.0.1"]).await;
        let (found, told, mend) = end(way(&server).await);
        assert_eq!(found, hop, "{told}");
        assert!(told.contains(what) && mend.contains(fix), "{told} / {mend}");
    }
}

#[tokio::test]
async fn the_first_hops_can_fail_too() {
    let server = Server::start(Answer::text(&good_text()), &["other"]).await;
    let (hop, what, fix) = end(way(&server).await);
    assert_eq!(hop, Hop::Certificate);
    assert!(what.contains("names no IP address") && fix.contains("serverTLSBootstrap"), "{what} / {fix}");
    let trust = || endpoint(Trust::Roots(vec![server.authority.clone()]));
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = examine(&Target::kubelet("n1", "127.0.0.1", closed), &trust(), "test", LIMIT).await;
    let (hop, _, fix) = end(refused);
    assert!(hop == Hop::Tcp && fix.contains("nothing listens there"), "{fix}");
    let nowhere = Target {
        host: Err("the node has no address of the types X".to_owned()),
        ..Target::kubelet("n1", "", 1)
    };
    let (hop, _, fix) = end(examine(&nowhere, &trust(), "test", LIMIT).await);
    assert!(hop == Hop::Address && fix.contains("--kubelet-preferred-address-types"), "{fix}");
    let unnamed = examine(&Target::kubelet("n1", "no.such.name.invalid", 1), &trust(), "test", LIMIT).await;
    let (hop, _, fix) = end(unnamed);
    assert!(hop == Hop::Tcp && fix.contains("InternalIP first"), "{fix}");
}

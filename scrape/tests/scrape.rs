//! Scraping over real TLS connections against a server in this process that answers well or badly.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test with a server of its own")]

#[allow(dead_code, reason = "other tests use more of it")]
mod server;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flyball_model::batch::{Batch, Outcome, Sink};
use flyball_scrape::config::{Config, Endpoint, Resolution, Token, Transport};
use flyball_scrape::target::{Target, fixed};
use flyball_scrape::tls::{LiveRoots, NameCheck, TlsSettings, Trust};
use flyball_scrape::{Metrics, answer, run};
use server::{Answer, Server};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const TEXT: &str =
    "node_cpu_usage_seconds_total 12.5 1700000000123\nnode_memory_working_set_bytes 1024 1700000000123\n";

struct Channel(mpsc::UnboundedSender<Batch>);

impl Sink for Channel {
    fn accept(&self, batch: &Batch) {
        self.0.send(batch.clone()).ok();
    }
}

/// A running scrape.
struct Scrape {
    batches: mpsc::UnboundedReceiver<Batch>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Scrape {
    fn start(config: Config, targets: Vec<Target>) -> Scrape {
        let (sender, batches) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let (_, targets) = fixed(targets);
        let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(Channel(sender))];
        let task = tokio::spawn(run(config, targets, sinks, metrics.clone(), shutdown.clone()));
        Scrape { batches, shutdown, task, metrics }
    }

    async fn next(&mut self) -> Batch {
        let patience = Duration::from_secs(30);
        tokio::time::timeout(patience, self.batches.recv()).await.expect("a batch in time").expect("a batch")
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn config(trust: Trust) -> Config {
    let mut tls = TlsSettings::new(trust);
    tls.name = NameCheck::AddressOrNodeName;
    let endpoint = Endpoint { transport: Transport::Tls(tls), token: Token::Fixed("secret".to_owned()) };
    Config {
        resolution: Resolution::Fixed(Duration::from_millis(10)),
        request_timeout: Duration::from_secs(5),
        ..Config::new(endpoint.clone(), endpoint)
    }
}

fn target(server: &Server, node: &str) -> Target {
    Target::collector(node, "127.0.0.1", server.port)
}

fn reason(batch: &Batch) -> &str {
    match &batch.outcome {
        Outcome::Failed { reason } => reason,
        Outcome::Scraped { .. } => panic!("should have failed: {batch:?}"),
    }
}

/// The reason of the first attempt against this answer.
async fn reason_for(answer: Answer, change: impl FnOnce(&mut Config)) -> String {
    let server = Server::start(answer, &["127.0.0.1"]).await;
    let mut config = config(Trust::Roots(vec![server.authority.clone()]));
    change(&mut config);
    let mut scrape = Scrape::start(config, vec![target(&server, "n1")]);
    let batch = scrape.next().await;
    scrape.stop().await;
    reason(&batch).replace(&format!("127.0.0.1:{}", server.port), "ADDRESS")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn one_connection_serves_many_scrapes() {
    let server =
        Server::start(Answer::text(TEXT).header("flyball-sweep-interval-ms: 1000"), &["127.0.0.1"]).await;
    let mut scrape =
        Scrape::start(config(Trust::Roots(vec![server.authority.clone()])), vec![target(&server, "n1")]);
    for _ in 0..5 {
        let batch = scrape.next().await;
        assert_eq!(batch.node, "n1");
        assert!(batch.finished_ms >= batch.started_ms && batch.started_ms > 1_700_000_000_000);
        let Outcome::Scraped { samples, sweep_interval_ms } = batch.outcome else { panic!("{batch:?}") };
        assert_eq!(samples.len(), 2);
        assert_eq!(sweep_interval_ms, Some(1000));
    }
    let page = {
        let mut registry = prometheus_client::registry::Registry::default();
        scrape.metrics.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        page
    };
    assert!(page.contains("metrics_server_kubelet_request_total{success=\"true\"}"), "{page}");
    scrape.stop().await;
    assert_eq!(server.connections(), 1);
    let head = server.last_head();
    assert!(head.contains("authorization: Bearer secret\r\n"), "{head}");
    assert!(head.contains("accept-encoding: gzip\r\n") && !head.contains("accept: "), "{head}");
    assert!(head.starts_with("GET /metrics/resource HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_no_failure() {
    let server = Server::start(Answer::text(TEXT).then_close(), &["127.0.0.1"]).await;
    let mut scrape =
        Scrape::start(config(Trust::Roots(vec![server.authority.clone()])), vec![target(&server, "n1")]);
    for _ in 0..5 {
        let batch = scrape.next().await;
        assert!(matches!(batch.outcome, Outcome::Scraped { .. }), "{batch:?}");
    }
    scrape.stop().await;
    assert!(server.connections() >= 5);
}

#[tokio::test]
async fn gzip_is_understood() {
    let server =
        Server::start(Answer::bytes(gzip(TEXT.as_bytes())).header("content-encoding: gzip"), &["127.0.0.1"])
            .await;
    let mut scrape =
        Scrape::start(config(Trust::Roots(vec![server.authority.clone()])), vec![target(&server, "n1")]);
    let batch = scrape.next().await;
    assert!(matches!(&batch.outcome, Outcome::Scraped { samples, .. } if samples.len() == 2), "{batch:?}");
    scrape.stop().await;
}

#[tokio::test]
async fn bad_answers_have_reasons() {
    let too_large = format!("the answer of ADDRESS is larger than {} bytes", answer::BODY_LIMIT_BYTES);
    let unauthorized =
        "ADDRESS answered with status 401 (unauthorized: the token or client certificate was not accepted; ";
    let forbidden = "ADDRESS answered with status 403 (forbidden: the account needs get on nodes/metrics, see the ClusterRole in deploy/)";
    let bomb = gzip(&vec![b'a'; answer::BODY_LIMIT_BYTES + 1]);
    let html = "<html><body>sign in</body></html>\n";
    for (id, answer, expected) in [
        ("401", Answer::text("no\n").status("401 Unauthorized"), unauthorized),
        ("403", Answer::text("no\n").status("403 Forbidden"), forbidden),
        ("500", Answer::text("no\n").status("500 Internal Server Error"), "ADDRESS answered with status 500"),
        ("empty", Answer::text(""), "the answer of ADDRESS cannot be read: it holds no samples"),
        (
            "html",
            Answer::text(html).header("content-type: text/html"),
            "the answer of ADDRESS cannot be read: line 1: ",
        ),
        ("bad line", Answer::text("a 1\nb oops\n"), "the answer of ADDRESS cannot be read: line 2: "),
        (
            "bad gzip",
            Answer::text(TEXT).header("content-encoding: gzip"),
            "the answer of ADDRESS cannot be read: broken gzip",
        ),
        ("announces too much", Answer::text("a 1\n").announcing(1 << 40), &too_large),
        ("gzip bomb", Answer::bytes(bomb).header("content-encoding: gzip"), &too_large),
        ("endless", Answer::endless("a 1\n"), &too_large),
        (
            "truncated",
            Answer::text("a 1\n").announcing(5000).then_close(),
            "the connection to ADDRESS broke: the answer was cut off",
        ),
        ("not HTTP", Answer::raw(b"SSH-2.0-x\r\n"), "the connection to ADDRESS broke: "),
        ("endless header", Answer::raw(&vec![b'x'; 1 << 20]), "the connection to ADDRESS broke: "),
    ] {
        let reason = reason_for(answer, |_| {}).await;
        assert!(reason.starts_with(expected), "{id}: {reason}");
    }
}

#[tokio::test]
async fn time_outs_say_what_was_going_on() {
    let short = |config: &mut Config| config.request_timeout = Duration::from_millis(300);
    let silent = reason_for(Answer::silent(), short).await;
    assert_eq!(silent, "time-out after 0.3 s while waiting for the answer (ADDRESS)");
    let trickling = reason_for(Answer::text("a 1\n").announcing(5000), short).await;
    assert_eq!(trickling, "time-out after 0.3 s while reading the answer (ADDRESS)");
}

#[tokio::test]
async fn refused_connections_have_reasons() {
    let server = Server::start(Answer::text(TEXT), &["127.0.0.1"]).await;
    let mut closed = target(&server, "n1");
    closed.port = 1;
    let mut scrape = Scrape::start(config(Trust::Insecure), vec![closed]);
    let text = reason(&scrape.next().await).to_owned();
    assert!(text.starts_with("cannot connect to 127.0.0.1:1: Connection refused"), "{text}");
    scrape.stop().await;

    let mut nowhere = target(&server, "n1");
    nowhere.host = Err("the node has no address of the types InternalIP".to_owned());
    let mut scrape = Scrape::start(config(Trust::Insecure), vec![nowhere]);
    assert_eq!(reason(&scrape.next().await), "the node has no address of the types InternalIP");
    scrape.stop().await;
}

#[tokio::test]
async fn certificates_are_verified() {
    let by_address = Server::start(Answer::text(TEXT), &["127.0.0.1"]).await;
    let by_node = Server::start(Answer::text(TEXT), &["worker-1"]).await;
    let collector = Server::start(Answer::text(TEXT), &["flyball-collector"]).await;
    let roots = |server: &Server| Trust::Roots(vec![server.authority.clone()]);
    let fixed_name = NameCheck::Fixed("flyball-collector".to_owned());
    let either = NameCheck::AddressOrNodeName;
    for (id, server, trust, name, refused) in [
        ("address", &by_address, roots(&by_address), NameCheck::Address, None),
        ("node name", &by_node, roots(&by_node), either.clone(), None),
        (
            "address wanted",
            &by_node,
            roots(&by_node),
            NameCheck::Address,
            Some("it names no IP address, it is for worker-1, and 127.0.0.1 was dialled"),
        ),
        (
            "neither",
            &collector,
            roots(&collector),
            either,
            Some("it is for flyball-collector, and 127.0.0.1 was dialled"),
        ),
        ("fixed name", &collector, roots(&collector), fixed_name, None),
        (
            "other authority",
            &by_address,
            roots(&by_node),
            NameCheck::Address,
            Some("which is not the certificate-authority of the kubeconfig"),
        ),
        ("insecure", &by_node, Trust::Insecure, NameCheck::Address, None),
    ] {
        let endpoint = Endpoint {
            transport: Transport::Tls(TlsSettings { trust, name, identity: None }),
            token: Token::None,
        };
        let mut scrape =
            Scrape::start(Config::new(endpoint.clone(), endpoint), vec![target(server, "worker-1")]);
        let batch = scrape.next().await;
        match (&batch.outcome, refused) {
            (Outcome::Scraped { .. }, None) => {}
            (Outcome::Failed { reason }, Some(expected)) => {
                assert!(reason.contains("certificate") && reason.contains(expected), "{id}: {reason}");
            }
            other => panic!("{id}: {other:?}"),
        }
        scrape.stop().await;
    }
}

/// Collectors trusted by a Secret, as `--collector-certificate-secret` has it.
fn live_config(live: &LiveRoots) -> Config {
    let mut config = config(Trust::Insecure);
    let name = NameCheck::Fixed(COLLECTOR_NAME.to_owned());
    let tls = TlsSettings { trust: Trust::Live(live.clone()), name, identity: None };
    config.collector.transport = Transport::Tls(tls);
    config
}

const COLLECTOR_NAME: &str = "flyball-collector";

#[tokio::test]
async fn a_rotation_under_a_running_scrape_loses_no_scrape() {
    // Each answer closes, so that each scrape is a handshake.
    let collector = Server::start(Answer::text(TEXT).then_close(), &[COLLECTOR_NAME]).await;
    let live = LiveRoots::new("Secret ns/tls");
    let old = collector.authority.clone();
    live.set(Ok(vec![old.clone()]));
    let mut scrape = Scrape::start(live_config(&live), vec![target(&collector, "n1")]);
    let good = async |scrape: &mut Scrape| {
        for _ in 0..5 {
            let batch = scrape.next().await;
            assert!(matches!(batch.outcome, Outcome::Scraped { .. }), "{batch:?}");
        }
    };
    good(&mut scrape).await;
    let (certificate, next) = collector.next_certificate(&[COLLECTOR_NAME]);
    live.set(Ok(vec![next.clone(), old.clone()]));
    good(&mut scrape).await;
    collector.serve_next(certificate);
    good(&mut scrape).await;
    live.set(Ok(vec![next]));
    good(&mut scrape).await;
    scrape.stop().await;
}

#[tokio::test]
async fn a_collector_of_a_foreign_authority_is_refused_with_the_cure() {
    let collector = Server::start(Answer::text(TEXT), &[COLLECTOR_NAME]).await;
    let live = LiveRoots::new("Secret ns/tls");
    let mut scrape = Scrape::start(live_config(&live), vec![target(&collector, "n1")]);
    let text = reason(&scrape.next().await).to_owned();
    assert_eq!(text, "collectors cannot be verified: Secret ns/tls has not been read yet");
    let (_, other) = collector.next_certificate(&[COLLECTOR_NAME]);
    live.set(Ok(vec![other]));
    let told = loop {
        let text = reason(&scrape.next().await).to_owned();
        if !text.contains("not been read") {
            break text;
        }
    };
    for part in [
        "is issued by \"authority of [\\\"flyball-collector\\\"]\"",
        "not among the authorities of Secret ns/tls (\"the next authority\")",
        "see that its pod mounts tls.crt and tls.key",
    ] {
        assert!(told.contains(part), "{told}");
    }
    live.set(Ok(vec![collector.authority.clone()]));
    while matches!(scrape.next().await.outcome, Outcome::Failed { .. }) {}
    scrape.stop().await;
}

#[tokio::test]
async fn files_name_themselves_when_missing() {
    let server = Server::start(Answer::text(TEXT), &["127.0.0.1"]).await;
    let mut config = config(Trust::File("/nonexistent/ca.crt".into()));
    let mut scrape = Scrape::start(config.clone(), vec![target(&server, "n1")]);
    let text = reason(&scrape.next().await).to_owned();
    assert!(text.starts_with("cannot read /nonexistent/ca.crt: "), "{text}");
    scrape.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let (authority, token) = (folder.path().join("ca.crt"), folder.path().join("token"));
    std::fs::write(&authority, &server.authority_pem).unwrap();
    std::fs::write(&token, "from-file\n").unwrap();
    config.collector.transport = Transport::Tls(TlsSettings::new(Trust::File(authority)));
    config.collector.token = Token::File(token);
    let mut scrape = Scrape::start(config, vec![target(&server, "n1")]);
    assert!(matches!(scrape.next().await.outcome, Outcome::Scraped { .. }));
    scrape.stop().await;
    assert!(server.last_head().contains("authorization: Bearer from-file\r\n"));
}

#[tokio::test]
async fn a_hanging_node_delays_nobody() {
    let good = Server::start(Answer::text(TEXT), &["127.0.0.1"]).await;
    let hanging = Server::start(Answer::silent(), &["127.0.0.1"]).await;
    let mut config = config(Trust::Insecure);
    config.request_timeout = Duration::from_secs(600);
    let mut scrape = Scrape::start(config, vec![target(&hanging, "a-hanging"), target(&good, "b-good")]);
    let mut nodes = BTreeSet::new();
    for _ in 0..10 {
        nodes.insert(scrape.next().await.node);
    }
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["b-good"]);
    scrape.stop().await;
}

#[tokio::test]
async fn targets_come_and_go() {
    let server = Server::start(Answer::text(TEXT), &["127.0.0.1"]).await;
    let (list, targets) = fixed([target(&server, "n1")]);
    let (sender, mut batches) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(Channel(sender))];
    let task = tokio::spawn(run(config(Trust::Insecure), targets, sinks, Arc::default(), shutdown.clone()));
    assert_eq!(batches.recv().await.unwrap().node, "n1");
    list.send_replace([("n2".to_owned(), target(&server, "n2"))].into());
    while batches.recv().await.unwrap().node != "n2" {}
    // A batch of n1 may still have been on its way; then only n2 speaks.
    let mut last = Vec::new();
    for _ in 0..5 {
        last.push(batches.recv().await.unwrap().node);
    }
    assert_eq!(&last[1..], ["n2", "n2", "n2", "n2"]);
    shutdown.cancel();
    task.await.unwrap();
}

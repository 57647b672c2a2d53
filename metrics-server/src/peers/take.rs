//! Asks the other replicas for their points, at the start.
#![allow(clippy::disallowed_methods, reason = "an edge: resolves names, reads the token, asks peers, waits")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::Advice;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};

use super::{PATH, Peers, take_line, wire};
use crate::server::MetricsServer;

/// Pause before the peers are asked again: one may not be there yet.
const RETRY: Duration = Duration::from_millis(500);
/// After this time the replica has data of its own, or nobody has any.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Addresses asked at most.
const PEERS_LIMIT: usize = 8;
/// The topic under which [`Advice`] holds what is wrong.
const TOPIC: &str = "peers";

/// Asks until one peer had data, this replica has its own, or the time is over.
pub(crate) async fn take_over(server: Arc<MetricsServer>, peers: Peers, advice: Advice) {
    let story = async {
        loop {
            match ask_all(&server, &peers).await {
                Ok(0) => {}
                Ok(nodes) => {
                    tracing::info!(nodes, "took over the last points of a peer");
                    return advice.set(TOPIC, None);
                }
                Err(reason) => advice.set(
                    TOPIC,
                    Some(format!(
                        "the points of another replica cannot be taken over, so this one is ready only after two scrapes: \
                         {reason}; see --peers and --peer-token-file"
                    )),
                ),
            }
            if server.store.why_nothing((server.clock)()).is_none() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    if tokio::time::timeout(PATIENCE, story).await.is_err() {
        tracing::debug!("no peer had points to take over");
    }
    // What was wrong at the start is of no consequence any more.
    advice.set(TOPIC, None);
}

/// How many nodes were taken. An error only when nobody could be asked.
async fn ask_all(server: &Arc<MetricsServer>, peers: &Peers) -> Result<usize, String> {
    let addresses = tokio::net::lookup_host(&peers.address)
        .await
        .map_err(|error| format!("{} is not known: {error}", peers.address))?;
    let token = tokio::fs::read_to_string(&peers.token)
        .await
        .map_err(|error| format!("{}: {error}", peers.token.display()))?;
    let asking = addresses.take(PEERS_LIMIT).map(|address| {
        let (server, peers, token) = (server.clone(), peers.clone(), token.trim().to_owned());
        async move {
            let asked = tokio::time::timeout(ANSWER_LIMIT, ask(&server, &peers, address, &token)).await;
            asked
                .unwrap_or_else(|_| Err("no answer in time".to_owned()))
                .map_err(|error| format!("{address}: {error}"))
        }
    });
    let (mut nodes, mut failures, mut answered) = (0, Vec::new(), false);
    for outcome in futures_util::future::join_all(asking).await {
        match outcome {
            Ok(taken) => (nodes, answered) = (nodes + taken, true),
            Err(failure) => failures.push(failure),
        }
    }
    if answered || failures.is_empty() { Ok(nodes) } else { Err(failures.join(", ")) }
}

async fn ask(
    server: &MetricsServer,
    peers: &Peers,
    address: SocketAddr,
    token: &str,
) -> Result<usize, String> {
    let url = format!("https://{address}").parse::<http::Uri>().map_err(|error| error.to_string())?;
    let mut config = Config::new(url);
    config.default_retry = false;
    config.accept_invalid_certs = peers.authority.is_none();
    config.root_cert_file.clone_from(&peers.authority);
    // Its name in the certificate is the one it is looked up by.
    config.tls_server_name = peers.address.rsplit_once(':').map(|(host, _)| host.to_owned());
    config.auth_info.token = Some(token.to_owned().into());
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    let request = http::Request::get(PATH).body(Body::empty()).map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("it answered with status {}", answer.status().as_u16()));
    }
    let (mut body, mut rest, mut taken) = (answer.into_body(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let is_taken = take_line(&server.store, &line, (server.clock)());
            taken += usize::from(is_taken.map_err(|error| format!("its answer cannot be read: {error}"))?);
        }
        if rest.len() > wire::LINE_LIMIT_BYTES {
            return Err(format!("a line of its answer is longer than {} bytes", wire::LINE_LIMIT_BYTES));
        }
    }
    Ok(taken)
}

//! The keeper of a certificate in a Secret against an API server of a few lines: several replicas at once, renewal,
//! broken content, missing permissions.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests open sockets and may panic")]
#![allow(missing_docs, dead_code, reason = "helpers are shared between test programs")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{Running, json_response, start};
use flyball_apiserver::certs::kept::{Kept, Step, authorities, decide, renewed};
use flyball_apiserver::certs::secret::{Authorities, KeptSecret};
use flyball_apiserver::{
    Advice, Attributes, Authenticators, Authorizer, Decision, Handler, Limits, Request, Response, User,
    stream,
};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream as streams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const NAME: &str = "flyball-collector";

/// One Secret with optimistic locking.
#[derive(Clone)]
struct Cluster {
    secret: watch::Sender<Option<Value>>,
    writes: Arc<Mutex<u32>>,
    /// `update` is answered with 403.
    read_only: watch::Sender<bool>,
}

impl Cluster {
    fn new(data: Option<Value>) -> Self {
        let secret = data.map(|data| secret(&data, 1));
        Self {
            secret: watch::Sender::new(secret),
            writes: Arc::default(),
            read_only: watch::Sender::new(false),
        }
    }

    fn kept(&self) -> Kept {
        let secret = self.secret.borrow().clone().unwrap();
        let text = |key: &str| {
            let encoded = secret["data"][key].as_str().unwrap_or_default().to_owned();
            String::from_utf8(base64(&encoded)).unwrap()
        };
        Kept { certificate_pem: text("tls.crt"), key_pem: text("tls.key"), authorities_pem: text("ca.crt") }
    }

    fn put(&self, data: &Value) {
        self.secret.send_modify(|now| {
            let version = now.as_ref().map_or(1, version);
            *now = Some(secret(data, version + 1));
        });
    }

    async fn answer(self, request: Request) -> Response {
        let watching = request.query().flag("watch");
        assert!(request.path().starts_with("/api/v1/namespaces/ns/secrets"), "{}", request.path());
        if watching {
            assert_eq!(request.query().first("fieldSelector"), Some("metadata.name=tls"));
            let from: u64 = request.query().first("resourceVersion").unwrap().parse().unwrap();
            return self.watch(from);
        }
        let refuse = |code: u16, reason: &str| {
            json_response(
                code,
                &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
                "reason": reason, "code": code}),
            )
        };
        if request.method() == http::Method::GET {
            return match &*self.secret.borrow() {
                Some(secret) => json_response(200, secret),
                None => refuse(404, "NotFound"),
            };
        }
        let sent: Value = serde_json::from_slice(&request.body.collect(usize::MAX).await.unwrap()).unwrap();
        if *self.read_only.borrow() {
            return refuse(403, "Forbidden");
        }
        let written = self.secret.send_if_modified(|now| {
            let current = version(now.as_ref().unwrap());
            let fits = version(&sent) == current;
            if fits {
                *now = Some(secret(&sent["data"], current + 1));
            }
            fits
        });
        if !written {
            return refuse(409, "Conflict");
        }
        *self.writes.lock().unwrap() += 1;
        json_response(200, self.secret.borrow().as_ref().unwrap())
    }

    fn watch(&self, from: u64) -> Response {
        let events = streams::unfold((self.secret.subscribe(), from), |(mut secret, seen)| async move {
            let now = secret
                .wait_for(|now| now.as_ref().is_some_and(|now| version(now) > seen))
                .await
                .ok()?
                .clone()?;
            let seen = version(&now);
            let line = format!("{}\n", json!({"type": "MODIFIED", "object": now}));
            Some((Ok(line.into()), (secret, seen)))
        });
        http::Response::new(stream(events.boxed()))
    }
}

impl Handler for Cluster {
    fn handle<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.clone().answer(request))
    }
}

fn secret(data: &Value, version: u64) -> Value {
    json!({"kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": data,
        "metadata": {"name": "tls", "namespace": "ns", "resourceVersion": version.to_string()}})
}

fn version(secret: &Value) -> u64 {
    secret["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.decode(text).unwrap()
}

fn data_of(kept: &Kept) -> Value {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    json!({"tls.crt": encode(&kept.certificate_pem), "tls.key": encode(&kept.key_pem),
        "ca.crt": encode(&kept.authorities_pem)})
}

/// Lets everyone do everything.
struct OpenToAll;

impl Authorizer for OpenToAll {
    fn authorize<'a>(&'a self, _: &'a User, _: &'a Attributes) -> BoxFuture<'a, Result<Decision, String>> {
        Box::pin(std::future::ready(Ok(Decision::Allow)))
    }
}

/// Replicas of a program that keeps the Secret.
struct Replicas {
    cluster: Cluster,
    _server: Running,
    trust: watch::Receiver<BTreeMap<usize, Authorities>>,
    advice: Advice,
    stop: CancellationToken,
}

async fn replicas(cluster: Cluster, count: usize) -> Replicas {
    let all = common::authorities();
    let open = Authenticators { anonymous: true, ..Authenticators::default() };
    let server = start(&all, open, OpenToAll, cluster.clone(), Limits::default()).await;
    let mut config = kube::Config::new(format!("https://{}", server.address).parse().unwrap());
    config.accept_invalid_certs = true;
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    let (sender, trust) = watch::channel(BTreeMap::new());
    let (advice, stop) = (Advice::new(), CancellationToken::new());
    for replica in 0..count {
        let sender = sender.clone();
        let told = move |authorities| {
            sender.send_modify(|all: &mut BTreeMap<_, _>| drop(all.insert(replica, authorities)));
        };
        let kept = KeptSecret { namespace: "ns".into(), name: "tls".into(), server_name: NAME.into() };
        tokio::spawn(kept.keep(client.clone(), advice.clone(), told, stop.clone()));
    }
    Replicas { cluster, _server: server, trust, advice, stop }
}

impl Replicas {
    /// Waits until all replicas trust so many authorities.
    async fn all_trust(&mut self, count: usize, authorities: usize) {
        let reached = self.trust.wait_for(|all| {
            all.len() == count
                && all.values().all(|one| one.as_ref().is_ok_and(|known| known.len() == authorities))
        });
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("trust in time").unwrap();
    }

    async fn until(&self, what: &str, mut question: impl FnMut(&Self) -> bool) {
        let asking = async {
            while !question(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect(what);
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The authorities in the Secret, as soon as there are some.
async fn authorities_of(cluster: &Cluster) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    let mut secret = cluster.secret.subscribe();
    secret.wait_for(|now| now.as_ref().is_some_and(|now| now["data"]["ca.crt"].is_string())).await.unwrap();
    authorities(&cluster.kept().authorities_pem, SystemTime::now())
}

#[tokio::test]
async fn one_of_several_replicas_fills_the_secret_and_all_trust_it() {
    let mut replicas = replicas(Cluster::new(Some(Value::Null)), 4).await;
    // Each trusts its own before it writes, so wait until all trust what was written.
    let written = authorities_of(&replicas.cluster).await;
    let agreed = replicas.trust.wait_for(|all| {
        all.len() == 4 && all.values().all(|one| one.as_ref().is_ok_and(|known| *known == written))
    });
    tokio::time::timeout(Duration::from_secs(30), agreed).await.expect("agreement in time").unwrap();
    let kept = replicas.cluster.kept();
    assert!(matches!(decide(&kept, NAME, SystemTime::now()), Step::Keep { .. }));
    assert_eq!(*replicas.cluster.writes.lock().unwrap(), 1, "one write won");
    assert!(replicas.advice.all().is_empty(), "{:?}", replicas.advice.all());
}

#[tokio::test]
async fn an_old_certificate_is_renewed_and_its_authority_stays() {
    let made = SystemTime::now() - Duration::from_secs(61 * 24 * 3600);
    let old = renewed(&Kept::default(), NAME, made).unwrap();
    let mut replicas = replicas(Cluster::new(Some(data_of(&old))), 2).await;
    replicas.all_trust(2, 2).await;
    replicas.until("it is written", |replicas| replicas.cluster.kept() != old).await;
    assert!(
        replicas.cluster.kept().authorities_pem.ends_with(&old.authorities_pem),
        "the old authority is kept"
    );
    // Another writer's change is followed.
    replicas.cluster.put(&data_of(&renewed(&Kept::default(), NAME, SystemTime::now()).unwrap()));
    replicas.all_trust(2, 1).await;
}

#[tokio::test]
async fn broken_content_is_replaced() {
    let good = renewed(&Kept::default(), NAME, SystemTime::now()).unwrap();
    let broken = Kept { key_pem: "junk".into(), ..good };
    let mut replicas = replicas(Cluster::new(Some(data_of(&broken))), 1).await;
    // Servers that still run with the old pair are trusted as long as their authority can be read.
    replicas.all_trust(1, 2).await;
    replicas.until("it is written", |replicas| replicas.cluster.kept().key_pem != "junk").await;
    assert!(matches!(decide(&replicas.cluster.kept(), NAME, SystemTime::now()), Step::Keep { .. }));
}

#[tokio::test]
async fn what_is_missing_is_told_and_mends_itself() {
    let cluster = Cluster::new(None);
    cluster.read_only.send_replace(true);
    let mut replicas = replicas(cluster, 1).await;
    let topic = flyball_apiserver::certs::secret::TOPIC;
    let says =
        |replicas: &Replicas, part: &str| replicas.advice.of(topic).is_some_and(|text| text.contains(part));
    replicas.until("the missing Secret is told", |r| says(r, "Secret ns/tls does not exist")).await;
    replicas.cluster.put(&Value::Null);
    replicas
        .until("the missing permission is told", |r| says(r, "grant update on secrets, resourceNames [tls]"))
        .await;
    replicas.cluster.read_only.send_replace(false);
    replicas.all_trust(1, 1).await;
    replicas.until("the finding goes", |r| r.advice.all().is_empty()).await;
}

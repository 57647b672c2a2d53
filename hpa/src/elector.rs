//! The election as it runs: attempts, renewals, the fence, and the lease given up at the end.
//!
//! Promise: the fence closes before another replica can take the lease, whatever answers and delays the API server has.

use crate::cluster::{About, Api, Events, Leases, Subject, record_of, with_record};
use crate::config::Clock;
use crate::decisions::{Leader, Peer, annotations, fingerprint};
use crate::election::{Candidate, Election, JITTER_FACTOR, Step};
use crate::error::ApiError;
use crate::fence::Fence;
use crate::kind::ApiKind;
use crate::own_metrics::Metrics;
use crate::report::Note;
use crate::rivals::ACTING;
use flyball_model::time::parse_rfc3339_ms;
use serde_json::Value;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// The shortest time-out of one request about the lease; upstream's is half the renew deadline, at least this.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// An event about the lease may take this long; it is never worth more than the lease.
const EVENT_TIMEOUT: Duration = Duration::from_secs(2);
/// A successor goes on without finding out anew if the lease was renewed this recently.
const RECENT_MS: i64 = 60_000;

/// A term of leadership, or the absence of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Term {
    /// This process may act.
    pub(crate) leads: bool,
    /// The replica before us was scaling until just now.
    pub(crate) inherits: bool,
    /// Grows with every change.
    pub(crate) number: u64,
}

/// What the Lease is to say about this installation: it scales, it does not, or it is not known yet.
#[derive(Debug, Default)]
pub(crate) struct Claim(AtomicU8);

impl Claim {
    pub(crate) fn set(&self, acting: Option<bool>) {
        self.0.store(acting.map_or(0, |acting| 1 + u8::from(acting)), Ordering::Release);
    }

    fn get(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            value => Some(value == 2),
        }
    }
}

/// The Lease as the other parts see it.
#[derive(Debug, Default)]
pub(crate) struct LeaseFacts {
    /// UID of the Lease; empty before it was seen.
    uid: Mutex<String>,
    /// When the election last turned, by the steady clock; 0 without an election.
    pub(crate) turned_ms: AtomicI64,
    pub(crate) claim: Claim,
    /// What it says about its holder.
    leader: Mutex<Leader>,
    /// The certificate that this process made itself, DER.
    own_certificate: Mutex<Option<Vec<u8>>>,
}

/// Runs the election.
pub(crate) struct Elector {
    settings: Election,
    namespace: String,
    leases: Leases,
    events: Arc<Events>,
    fence: Fence,
    metrics: Metrics,
    facts: Arc<LeaseFacts>,
    wall_ms: Clock,
    steady_ms: Clock,
    peer: Option<Peer>,
    candidate: Candidate,
    /// As last read or written.
    lease: Option<Value>,
    term: watch::Sender<Term>,
    started: Instant,
}

/// What an [`Elector`] works with.
pub(crate) struct Surroundings {
    pub(crate) api: Api,
    pub(crate) fence: Fence,
    pub(crate) metrics: Metrics,
    pub(crate) facts: Arc<LeaseFacts>,
    pub(crate) wall_ms: Clock,
    pub(crate) steady_ms: Clock,
    pub(crate) peer: Option<Peer>,
    pub(crate) term: watch::Sender<Term>,
}

impl Elector {
    pub(crate) fn new(settings: Election, namespace: String, with: Surroundings) -> Self {
        with.metrics.leads(&settings.name, false);
        Elector {
            candidate: Candidate::new(settings.clone()),
            leases: Leases::new(&with.api),
            events: Arc::new(Events::new(
                with.api.without_fence(),
                ApiKind::BUILT_IN,
                0,
                with.steady_ms.clone(),
            )),
            namespace,
            settings,
            fence: with.fence,
            metrics: with.metrics,
            facts: with.facts,
            wall_ms: with.wall_ms,
            steady_ms: with.steady_ms,
            peer: with.peer,
            lease: None,
            term: with.term,
            started: Instant::now(),
        }
    }

    /// Tries, leads, loses and tries again until `stop`; then gives the lease up. `stop` comes after the last write.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let lease = self.describe();
        while !stop.is_cancelled() {
            tracing::info!(
                lease,
                identity = self.settings.identity,
                "attempting to acquire the leader lease"
            );
            let Some(inherits) = stop.run_until_cancelled(self.acquire()).await else { break };
            let told = self.lead(true, inherits);
            stop.run_until_cancelled(async { tokio::join!(told, self.renew()) }).await;
            if stop.is_cancelled() {
                self.fence.close();
                self.release().await;
            }
            self.fence.close();
            self.lead(false, false).await;
        }
    }

    fn describe(&self) -> String {
        format!("{}/{}", self.namespace, self.settings.name)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wall(&self) -> String {
        flyball_model::time::rfc3339_micros((self.wall_ms)().saturating_mul(1000))
    }

    fn timeout(&self) -> Duration {
        (self.settings.renew_deadline / 2).max(MIN_TIMEOUT)
    }

    /// A term begins or ends; the event about it is recorded by the future.
    fn lead(&self, leads: bool, inherits: bool) -> impl Future<Output = ()> + use<> {
        self.metrics.leads(&self.settings.name, leads);
        self.term.send_modify(|term| *term = Term { leads, inherits, number: term.number + 1 });
        let (lease, identity) = (self.describe(), &self.settings.identity);
        let what = if leads { "became leader" } else { "stopped leading" };
        tracing::info!(lease, identity, "{what}");
        let note = Note { warning: false, reason: "LeaderElection", message: format!("{identity} {what}") };
        let (events, subject, now_ms) = (self.events.clone(), self.subject(), (self.wall_ms)());
        async move {
            let recorded = events.record(&subject, &note, now_ms);
            if tokio::time::timeout(EVENT_TIMEOUT, recorded).await.is_err() {
                tracing::debug!(reason = note.reason, "no answer about an event");
            }
        }
    }

    fn subject(&self) -> Subject {
        let metadata = self.lease.as_ref().map_or(&Value::Null, |lease| &lease["metadata"]);
        Subject {
            about: About::Lease,
            namespace: self.namespace.clone(),
            name: self.settings.name.clone(),
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            resource_version: metadata["resourceVersion"].as_str().map(str::to_owned),
        }
    }

    /// Tries until the lease is ours; gives whether the replica before was scaling until just now.
    async fn acquire(&mut self) -> bool {
        let mut told = String::new();
        loop {
            let before = self.candidate.holder().to_owned();
            match self.attempt().await {
                Ok(Some(inherits)) => return inherits,
                Ok(None) if self.candidate.holder() != before => {
                    tracing::info!(lease = self.describe(), holder = self.candidate.holder(), "following");
                }
                Ok(None) => told.clear(),
                // A conflict means that another candidate was faster.
                Err(error) if error.is_conflict() => {}
                Err(error) if error.message == told => {}
                Err(error) => {
                    told.clone_from(&error.message);
                    tracing::warn!(lease = self.describe(), %error, "the lease cannot be acquired yet");
                }
            }
            sleep(self.settings.retry_period.mul_f64(1.0 + fastrand::f64() * JITTER_FACTOR)).await;
        }
    }

    /// Renews until it does not succeed before the deadline, or someone else holds the lease.
    async fn renew(&mut self) {
        let mut renewed = Instant::now();
        let mut next = renewed + self.settings.retry_period;
        loop {
            sleep_until(next).await;
            next += self.settings.retry_period;
            let sent = Instant::now();
            let deadline = renewed + self.settings.renew_deadline;
            match tokio::time::timeout_at(deadline, self.attempt()).await {
                Ok(Ok(Some(_))) => renewed = sent,
                Ok(Ok(None)) => {
                    let holder = self.candidate.holder();
                    return tracing::error!(
                        lease = self.describe(),
                        holder,
                        "another replica holds the lease"
                    );
                }
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.describe(), %error, "the lease was not renewed")
                }
                Err(_) => {}
            }
            if Instant::now() >= renewed + self.settings.renew_deadline {
                return tracing::error!(lease = self.describe(), "the lease was not renewed in time");
            }
            next = next.max(Instant::now());
        }
    }

    /// One attempt to take or renew the lease; `None` while someone else holds it.
    async fn attempt(&mut self) -> Result<Option<bool>, ApiError> {
        self.facts.turned_ms.store((self.steady_ms)(), Ordering::Release);
        let (now, wall) = (self.now(), self.wall());
        if let Some(record) = self.candidate.renewal(now, &wall) {
            if self.write(record).await.is_ok() {
                return Ok(Some(false));
            }
            self.metrics.slow_path(&self.settings.name);
        }
        let found = self.leases.get(&self.namespace, &self.settings.name, self.timeout()).await?;
        let (now, wall) = (self.now(), self.wall());
        let Some(found) = found else {
            self.lease = None;
            let record = self.candidate.absent(&wall);
            return self.write(record).await.map(|()| Some(false));
        };
        let (record, inherits) = (record_of(&found), self.was_acting(&found));
        self.remember(found);
        match self.candidate.seen(record, now, &wall) {
            Step::Held => Ok(None),
            Step::Write(record) => self.write(record).await.map(|()| Some(inherits)),
        }
    }

    /// Whether the holder before was scaling until just now. Only a hint: who goes on by mistake finds out within seconds.
    fn was_acting(&self, lease: &Value) -> bool {
        let renewed_ms = lease["spec"]["renewTime"].as_str().and_then(parse_rfc3339_ms);
        let is_recent = renewed_ms.is_some_and(|renewed| ((self.wall_ms)() - renewed).abs() < RECENT_MS);
        is_recent && lease["metadata"]["annotations"][ACTING] == "true"
    }

    async fn write(&mut self, record: crate::election::Record) -> Result<(), ApiError> {
        let (namespace, name) = (&self.namespace, &self.settings.name);
        let mut lease = with_record(self.lease.as_ref(), namespace, name, &record, self.facts.claim.get());
        self.say_where(&mut lease);
        let sent = Instant::now();
        let stored = self.leases.write(&lease, self.timeout()).await?;
        self.remember(stored);
        self.candidate.stored(record, self.now());
        self.fence.hold(sent, self.settings.renew_deadline, self.settings.lease_seconds());
        Ok(())
    }

    /// Says on the Lease how the other replicas reach this one.
    fn say_where(&self, lease: &mut Value) {
        let own = self.facts.own_certificate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reached =
            self.peer.as_ref().and_then(|peer| Some((&peer.address, own.or_else(|| (peer.certificate)())?)));
        annotations(lease, reached.map(|(address, der)| (address.clone(), fingerprint(&der))));
    }

    fn remember(&mut self, lease: Value) {
        self.facts.saw(&lease);
        self.lease = Some(lease);
    }

    /// Gives the lease up, so that a follower need not wait until it runs out.
    async fn release(&mut self) {
        let give_up = Instant::now() + self.settings.renew_deadline;
        loop {
            let released = match self.leases.get(&self.namespace, &self.settings.name, self.timeout()).await {
                Ok(Some(lease)) if record_of(&lease).holder == self.settings.identity => {
                    let record = self.candidate.release(record_of(&lease).transitions, &self.wall());
                    let lease =
                        with_record(Some(&lease), &self.namespace, &self.settings.name, &record, None);
                    self.leases.write(&lease, self.timeout()).await
                }
                Ok(_) => return,
                Err(error) => Err(error),
            };
            match released {
                Ok(_) => return tracing::info!(lease = self.describe(), "the lease was released"),
                // The answer to a renewal that was broken off may still change the version.
                Err(error) if error.is_conflict() && Instant::now() < give_up => {}
                Err(error) => {
                    return tracing::warn!(lease = self.describe(), %error, "the lease was not released and runs out");
                }
            }
        }
    }
}

impl LeaseFacts {
    /// The Lease as it is stored now.
    pub(crate) fn saw(&self, lease: &Value) {
        let uid = lease["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        *self.uid.lock().unwrap_or_else(PoisonError::into_inner) = uid;
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Leader::of(lease);
    }

    /// What the Lease says about its holder, as last seen.
    pub(crate) fn leader(&self) -> Leader {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This process made the certificate that it serves by.
    pub(crate) fn serves_by(&self, der: Option<Vec<u8>>) {
        *self.own_certificate.lock().unwrap_or_else(PoisonError::into_inner) = der;
    }

    /// UID of the Lease; empty before it was seen.
    pub(crate) fn uid(&self) -> String {
        self.uid.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

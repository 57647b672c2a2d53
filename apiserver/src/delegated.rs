//! Authentication and authorization by asking the cluster: `TokenReview` and `SubjectAccessReview`.

use std::time::Duration;

use flyball_model::selector::{FieldSelector, LabelSelector, Operator};
use futures_util::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldSelectorRequirement, LabelSelectorRequirement};
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::attributes::Attributes;
use crate::authentication::TokenVerifier;
use crate::authorization::{AllowedPaths, Authorizer, Decision, is_master, is_open_discovery};
use crate::cache::Cache;
use crate::user::User;

/// How long an answer is believed (upstream's default for both kinds).
pub const ANSWER_LIFETIME: Duration = Duration::from_secs(10);
/// How many tokens are remembered.
pub const TOKENS_LIMIT: usize = 4096;
/// How many authorization answers are remembered (upstream's size).
pub const DECISIONS_LIMIT: usize = 8192;
/// Questions whose client-chosen parts are longer than this are not remembered, so that nobody can fill the
/// memory with them.
pub const CACHEABLE_BYTES: usize = 10_000;
/// Time for one call, and for all its repetitions together.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between attempts, by upstream's schedule of 500 ms growing by half. Without jitter: concurrent equal
/// questions already share one call.
const RETRY_PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_millis(1125),
    Duration::from_millis(1688),
];

mod metrics;

pub use metrics::DelegationMetrics;

use metrics::Calls;

/// Checks bearer tokens by `TokenReview`.
#[derive(Clone)]
pub struct DelegatedTokens {
    client: kube::Client,
    calls: Calls,
    audiences: Vec<String>,
    answers: std::sync::Arc<Cache<[u8; 32], Option<User>>>,
}

impl DelegatedTokens {
    /// Asks with this client; any audience the API server itself accepts will do.
    pub fn new(client: kube::Client) -> Self {
        let answers = std::sync::Arc::new(Cache::new(TOKENS_LIMIT, ANSWER_LIFETIME));
        Self { client, calls: Calls::default(), audiences: Vec::new(), answers }
    }

    /// Counts the calls.
    #[must_use]
    pub fn with_metrics(self, metrics: &DelegationMetrics) -> Self {
        Self { calls: metrics.tokens.clone(), ..self }
    }

    /// Believes an answer this long (`--authentication-token-webhook-cache-ttl`).
    #[must_use]
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        let answers = std::sync::Arc::new(Cache::new(TOKENS_LIMIT, lifetime));
        Self { answers, ..self }
    }

    /// Accepts only tokens made for one of these audiences.
    pub fn with_audiences(self, audiences: Vec<String>) -> Self {
        // Answers depend on the audiences, so a clone with others must not share them.
        let answers = std::sync::Arc::new(self.answers.emptied());
        Self { audiences, answers, ..self }
    }
}

impl TokenVerifier for DelegatedTokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        // The digest stands for the token, so that memory holds no credentials longer than the request does.
        let key: [u8; 32] = Sha256::digest(token).into();
        let ask = || {
            let (client, calls) = (self.client.clone(), self.calls.clone());
            review_token(client, calls, token.to_owned(), self.audiences.clone())
        };
        Box::pin(self.answers.get_or(key, ask))
    }
}

async fn review_token(
    client: kube::Client,
    calls: Calls,
    token: String,
    audiences: Vec<String>,
) -> Result<Option<User>, String> {
    let wanted = (!audiences.is_empty()).then_some(audiences);
    let spec = TokenReviewSpec { token: Some(token), audiences: wanted.clone() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let api: Api<TokenReview> = Api::all(client);
    let parameters = PostParams::default();
    let status = repeat(&calls, || api.create(&parameters, &review)).await?.status.unwrap_or_default();
    if status.authenticated != Some(true) {
        let error = status.error.unwrap_or_default();
        return if error.is_empty() { Ok(None) } else { Err(error) };
    }
    if let Some(wanted) = wanted {
        let valid_for = status.audiences.unwrap_or_default();
        if !wanted.iter().any(|audience| valid_for.contains(audience)) {
            return Ok(None);
        }
    }
    let user = status.user.unwrap_or_default();
    Ok(Some(User {
        name: user.username.unwrap_or_default(),
        uid: user.uid.filter(|uid| !uid.is_empty()),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    }))
}

/// Calls until it works or the time is over. Refusals (4xx but 429) are final.
async fn repeat<T, F>(calls: &Calls, mut call: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let attempts = async {
        let mut pauses = RETRY_PAUSES.iter();
        loop {
            let started = Instant::now();
            let answer = call().await;
            calls.answered(&answer, started.elapsed());
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if may_pass(&error) => tokio::time::sleep(*pause).await,
                _ => return Err(said(error)),
            }
        }
    };
    let late = |_| Err(format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
    tokio::time::timeout(CALL_TIMEOUT, attempts).await.unwrap_or_else(late)
}

/// What the API server said, else the error.
fn said(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

/// Authorizes as upstream's delegating servers do: `system:masters`, the always-allowed paths, discovery for
/// authenticated users, then `SubjectAccessReview`.
#[derive(Clone)]
pub struct Delegated {
    client: kube::Client,
    calls: Calls,
    /// Paths anybody may get.
    pub always_allow: AllowedPaths,
    /// Whether authenticated users get discovery and OpenAPI without a review (see the module documentation of
    /// [`authorization`](crate::authorization)). Upstream asks for these too; turn it off to have that.
    pub open_discovery: bool,
    answers: std::sync::Arc<Cache<Question, Decision>>,
}

/// Everything the answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    user: User,
    attributes: Attributes,
}

impl Delegated {
    /// Asks with this client.
    pub fn new(client: kube::Client) -> Self {
        let answers = std::sync::Arc::new(Cache::new(DECISIONS_LIMIT, ANSWER_LIFETIME));
        let calls = Calls::default();
        Self { client, calls, always_allow: AllowedPaths::default(), open_discovery: true, answers }
    }

    /// Counts the calls.
    #[must_use]
    pub fn with_metrics(self, metrics: &DelegationMetrics) -> Self {
        Self { calls: metrics.access.clone(), ..self }
    }

    /// Believes a permission and a refusal so long (`--authorization-webhook-cache-authorized-ttl` and
    /// `-unauthorized-ttl`).
    #[must_use]
    pub fn with_lifetimes(mut self, allowed: Duration, denied: Duration) -> Self {
        let refusal = |decision: &Decision| *decision != Decision::Allow;
        self.answers = std::sync::Arc::new(Cache::with_other_lifetime(
            DECISIONS_LIMIT,
            allowed,
            Some((refusal, denied)),
        ));
        self
    }

    /// Replaces the always-allowed paths (`--authorization-always-allow-paths`).
    pub fn with_always_allow(mut self, paths: AllowedPaths) -> Self {
        self.always_allow = paths;
        self
    }

    /// Who may have a whole list may have any part of it: that is asked for first, for one answer then serves an autoscaler's
    /// lists of all its targets. Only who may not is asked for as it is.
    async fn review(&self, user: &User, attributes: &Attributes) -> Result<Decision, String> {
        for whole in whole_lists(attributes) {
            let decision = self.ask(user, whole).await?;
            if decision == Decision::Allow {
                return Ok(decision);
            }
        }
        self.ask(user, attributes.clone()).await
    }

    async fn ask(&self, user: &User, mut attributes: Attributes) -> Result<Decision, String> {
        if attributes.resource_request {
            // It is asked for by its parts.
            attributes.path.clear();
        }
        let kept = chosen_bytes(&attributes) <= CACHEABLE_BYTES;
        let question = Question { user: user.clone(), attributes };
        let key = question.clone();
        let asking = || review_access(self.client.clone(), self.calls.clone(), question);
        if kept { self.answers.get_or(key, asking).await } else { asking().await }
    }
}

impl Authorizer for Delegated {
    fn authorize<'a>(
        &'a self,
        user: &'a User,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, String>> {
        let decided_here = is_master(user)
            || self.always_allow.allow(attributes)
            || self.open_discovery && is_open_discovery(user, attributes);
        if decided_here {
            return Box::pin(std::future::ready(Ok(Decision::Allow)));
        }
        Box::pin(self.review(user, attributes))
    }
}

/// The lists that a list or watch is a part of: all objects of all namespaces (what an empty namespace of a review means), and
/// all of its own. A selector "can only limit access, not broaden it", says the API of reviews.
fn whole_lists(attributes: &Attributes) -> impl Iterator<Item = Attributes> + use<'_> {
    let selects = !attributes.label_selector.is_empty() || !attributes.field_selector.is_empty();
    let is_list = matches!(attributes.verb.as_str(), "list" | "watch")
        && attributes.resource_request
        && attributes.subresource.is_empty()
        // Of a list it is what a selector says.
        && (attributes.name.is_empty() || !attributes.field_selector.is_empty());
    let of = |namespace: &str| Attributes {
        resource_request: true,
        verb: attributes.verb.clone(),
        group: attributes.group.clone(),
        version: attributes.version.clone(),
        resource: attributes.resource.clone(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    };
    let namespaced = !attributes.namespace.is_empty();
    let everywhere = (is_list && (namespaced || selects)).then(|| of(""));
    let own = (is_list && namespaced && selects).then(|| of(&attributes.namespace));
    everywhere.into_iter().chain(own)
}

/// Length of what a client can choose freely.
fn chosen_bytes(attributes: &Attributes) -> usize {
    let a = attributes;
    [&a.namespace, &a.name, &a.path, &a.group, &a.version, &a.resource, &a.subresource]
        .into_iter()
        .chain([&a.label_selector, &a.field_selector])
        .map(String::len)
        .sum()
}

async fn review_access(client: kube::Client, calls: Calls, question: Question) -> Result<Decision, String> {
    let review = SubjectAccessReview { spec: spec_of(question), ..SubjectAccessReview::default() };
    let api: Api<SubjectAccessReview> = Api::all(client);
    let parameters = PostParams::default();
    let status = repeat(&calls, || api.create(&parameters, &review)).await?.status.unwrap_or_default();
    let reason = status.reason.unwrap_or_default();
    Ok(if status.allowed { Decision::Allow } else { Decision::Deny { reason } })
}

/// An empty field is left out, as Go's `omitempty` does.
fn set(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn spec_of(Question { user, attributes }: Question) -> SubjectAccessReviewSpec {
    let mut spec = SubjectAccessReviewSpec {
        user: set(user.name),
        uid: user.uid,
        groups: Some(user.groups),
        extra: (!user.extra.is_empty()).then_some(user.extra),
        ..SubjectAccessReviewSpec::default()
    };
    if attributes.resource_request {
        spec.resource_attributes = Some(ResourceAttributes {
            field_selector: field_requirements(&attributes.field_selector),
            label_selector: label_requirements(&attributes.label_selector),
            namespace: set(attributes.namespace),
            verb: set(attributes.verb),
            group: set(attributes.group),
            version: set(attributes.version),
            resource: set(attributes.resource),
            subresource: set(attributes.subresource),
            name: set(attributes.name),
        });
    } else {
        spec.non_resource_attributes =
            Some(NonResourceAttributes { path: set(attributes.path), verb: set(attributes.verb) });
    }
    spec
}

/// Selectors narrow a permission; one that cannot be read is left out, which can only ask for more.
fn field_requirements(text: &str) -> Option<FieldSelectorAttributes> {
    let FieldSelector(terms) = FieldSelector::parse(text).ok()?;
    let requirements: Vec<_> = terms
        .into_iter()
        .map(|term| FieldSelectorRequirement {
            key: term.path,
            operator: if term.negated { "NotIn" } else { "In" }.to_owned(),
            values: Some(vec![term.value]),
        })
        .collect();
    let requirements = (!requirements.is_empty()).then_some(requirements)?;
    Some(FieldSelectorAttributes { requirements: Some(requirements), raw_selector: None })
}

fn label_requirements(text: &str) -> Option<LabelSelectorAttributes> {
    let selector = LabelSelector::parse(text).ok()?;
    let requirements: Vec<_> = selector
        .requirements()
        .iter()
        .filter_map(|requirement| {
            let operator = match requirement.operator() {
                Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
                Operator::NotIn | Operator::NotEquals => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
                _ => return None,
            };
            let values = requirement.values().to_vec();
            Some(LabelSelectorRequirement {
                key: requirement.key().to_owned(),
                operator: operator.to_owned(),
                values: (!values.is_empty()).then_some(values),
            })
        })
        .collect();
    let requirements = (!requirements.is_empty()).then_some(requirements)?;
    Some(LabelSelectorAttributes { requirements: Some(requirements), raw_selector: None })
}

#[cfg(test)]
mod tests;

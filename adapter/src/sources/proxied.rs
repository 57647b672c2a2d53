//! Another server of the metrics APIs, asked as we are asked: its metrics stand beside ours behind the one APIService.
//!
//! Two ways to be believed there: as a front proxy, whose client certificate vouches for the user it states in headers (the
//! way kube-apiserver does it), or by a bearer token, with our own identity. Whether the user may ask was decided here.
#![allow(clippy::disallowed_methods, reason = "an edge: looks again and again")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flyball_apiserver::{Advice, Live, Request, Response, User, full};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Names;
use super::file::{ProxiedSettings, SourceSettings};
use crate::backends::{Answered, Asked, BackendError, HttpClient};

/// Most metrics of such a server that our discovery lists.
const METRICS_LIMIT: usize = 10_000;
/// Headers of a request that are handed on.
const HANDED_ON: [HeaderName; 3] = [header::ACCEPT, header::USER_AGENT, header::ACCEPT_LANGUAGE];

/// An API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// custom.metrics.k8s.io
    Custom,
    /// external.metrics.k8s.io
    External,
}

impl Group {
    /// By its name.
    pub fn of(name: &str) -> Option<Group> {
        [Group::Custom, Group::External].into_iter().find(|group| group.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Group::Custom => "custom.metrics.k8s.io",
            Group::External => "external.metrics.k8s.io",
        }
    }
}

/// What such a server lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Name (of a custom metric with its resource), and whether it is asked for in a namespace.
    pub metrics: BTreeSet<(Group, String, bool)>,
}

/// Another metrics server.
pub struct Proxied {
    name: String,
    metrics: Names,
    front_proxy: bool,
    groups: Vec<Group>,
    http: HttpClient,
    interval: Duration,
    listed: Arc<Live<Listed>>,
    advice: Advice,
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    #[serde(default)]
    namespaced: bool,
}

impl Proxied {
    /// A source that has not asked yet; it asks what there is once per `interval`.
    pub fn new(
        settings: &SourceSettings,
        server: &ProxiedSettings,
        interval: Duration,
        advice: Advice,
    ) -> Proxied {
        Proxied {
            name: settings.name.clone(),
            metrics: settings.metrics.clone(),
            front_proxy: server.front_proxy,
            groups: server.groups.clone(),
            http: HttpClient::new(&settings.name, server.http.clone()),
            interval,
            listed: Live::new(Listed::default()),
            advice,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it lists.
    pub fn listed(&self) -> Arc<Listed> {
        self.listed.get()
    }

    /// Whether it may be asked for this metric. Whether it lists it is no matter: KEDA lists none of its own.
    pub fn may_have(&self, group: Group, metric: &str) -> bool {
        self.groups.contains(&group) && self.metrics.hold(metric)
    }

    /// Whether it lists a metric, by the name that discovery has: nobody else is asked for it then.
    pub fn lists(&self, group: Group, name: &str) -> bool {
        let one = |namespaced| (group, name.to_owned(), namespaced);
        let listed = self.listed();
        listed.metrics.contains(&one(true)) || listed.metrics.contains(&one(false))
    }

    /// The answer to the same request; `None` when there is no such metric. `path` is made of what was understood of the
    /// request, so that nothing else is asked for.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn answer(&self, path: &str, sender: &Sender) -> Result<Option<Response>, BackendError> {
        let mut headers = sender.headers.clone();
        if self.front_proxy {
            state_user(&sender.user, &mut headers);
        }
        let path_and_query = format!("{path}{}", sender.query);
        let method = Method::GET;
        let answered =
            self.http.send(Asked { method, path_and_query, headers, body: bytes::Bytes::new() }).await?;
        match answered.code.as_u16() {
            404 => Ok(None),
            401 | 403 => Err(self.refused(&answered)),
            _ => Ok(Some(handed_back(answered))),
        }
    }

    fn refused(&self, answered: &Answered) -> BackendError {
        BackendError::Refused {
            backend: self.name.clone(),
            code: answered.code.as_u16(),
            kind: answered.code.canonical_reason().unwrap_or_default().to_owned(),
            message: answered.excerpt(),
        }
    }

    /// Asks again and again what there is, until `stop`.
    pub async fn follow(self: Arc<Self>, changed: Arc<Notify>, stop: CancellationToken) {
        let rounds = async {
            loop {
                self.look().await;
                changed.notify_one();
                tokio::time::sleep(self.interval).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Asks once what there is.
    pub async fn look(&self) {
        let (mut metrics, mut failure) = (BTreeSet::new(), None);
        for group in &self.groups {
            match self.list(*group).await {
                Ok(list) => metrics.extend(list.resources.into_iter().filter_map(|resource| {
                    let name = resource.name.rsplit('/').next().unwrap_or_default();
                    self.metrics.hold(name).then_some((*group, resource.name, resource.namespaced))
                })),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        if failure.is_none() {
            while metrics.len() > METRICS_LIMIT {
                metrics.pop_last();
            }
            self.listed.set(Listed { metrics });
        }
        self.advice.set(&format!("source-{}", self.name), failure);
    }

    async fn list(&self, group: Group) -> Result<ResourceList, BackendError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if self.front_proxy {
            state_user(&ourselves(), &mut headers);
        }
        let path_and_query = format!("/apis/{}/v1beta1", group.name());
        let asked = Asked { method: Method::GET, path_and_query, headers, body: bytes::Bytes::new() };
        let answered = self.http.send(asked).await?;
        if !answered.code.is_success() {
            return Err(self.refused(&answered));
        }
        serde_json::from_slice(&answered.body).map_err(|error| BackendError::Garbage {
            backend: self.name.clone(),
            reason: format!("no list of resources: {error}"),
        })
    }
}

impl std::fmt::Debug for Proxied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxied").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Who asks, and what of the request beside its path is handed on.
#[derive(Debug, Clone)]
pub struct Sender {
    /// With its question mark.
    query: String,
    headers: HeaderMap,
    user: User,
}

impl Sender {
    /// Of this request.
    pub fn of(request: &Request) -> Sender {
        let query = request.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut headers = HeaderMap::new();
        for name in HANDED_ON {
            for value in request.parts.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Sender { query, headers, user: request.user.clone() }
    }

    /// Ourselves, with these parameters.
    pub fn ourselves(parameters: &[(&str, &str)]) -> Sender {
        let mut query = String::new();
        for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            crate::backends::encode(&mut query, value);
        }
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        Sender { query, headers, user: ourselves() }
    }
}

/// Who asks where nobody asked us.
fn ourselves() -> User {
    User::new("system:flyball-adapter", ["system:authenticated"])
}

/// States who asks, in kube-apiserver's headers. What cannot stand in a header is left out: it can only grant less.
fn state_user(user: &User, headers: &mut HeaderMap) {
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if let Some(uid) = &user.uid {
        add("x-remote-uid", uid);
    }
    user.groups.iter().for_each(|group| add("x-remote-group", group));
    for (key, values) in &user.extra {
        let mut name = "x-remote-extra-".to_owned();
        crate::backends::encode(&mut name, key);
        values.iter().for_each(|value| add(&name, value));
    }
}

fn handed_back(answered: Answered) -> Response {
    let mut response = http::Response::new(full(answered.body));
    *response.status_mut() = answered.code;
    if let Some(kind) = answered.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_stated_as_kube_apiserver_does() {
        let mut user = User::new("jane", ["a", "b\nc", "d"]);
        user.extra.insert("scopes/x".to_owned(), vec!["1".to_owned()]);
        let mut headers = HeaderMap::new();
        state_user(&user, &mut headers);
        assert_eq!(headers["x-remote-user"], "jane");
        assert_eq!(headers.get_all("x-remote-group").iter().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(headers["x-remote-extra-scopes%2fx"], "1");
    }
}

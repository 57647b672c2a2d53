//! The cluster's authentication settings: ConfigMap `kube-system/extension-apiserver-authentication`, read at
//! start and watched, so that a rotated CA takes effect without a restart.

#![allow(clippy::disallowed_methods, reason = "this module owns the task that watches the ConfigMap")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::watcher::{self, Config, Event, watcher};
use tokio_util::sync::CancellationToken;

use crate::advice::Advice;
use crate::api_error;
use crate::authentication::{
    Authenticators, CaBundle, ClientCa, FrontProxy, LiveAuthenticators, ProxyObserver, TokenVerifier,
};
use crate::error::ApiserverError;

/// Namespace of the ConfigMap.
pub const NAMESPACE: &str = "kube-system";
/// Name of the ConfigMap.
pub const NAME: &str = "extension-apiserver-authentication";
/// The topic under which [`Advice`] holds what is wrong with it.
const TOPIC: &str = "authentication-settings";
/// Pause after a failed watch; the settings in use stay meanwhile.
const WATCH_RETRY: Duration = Duration::from_secs(5);
/// Whoever can go on without the settings waits for them at the start no longer than this.
const FIRST_READ: Duration = Duration::from_secs(5);
/// How often CA files of flags are looked at, as upstream does it.
const FILES_INTERVAL: Duration = Duration::from_secs(60);

/// What the command line says about authentication; it wins over the ConfigMap.
#[derive(Clone, Default)]
pub struct Flags {
    /// Replaces the front proxy's half of the ConfigMap (`--requestheader-*`).
    pub front_proxy: Option<FrontProxy>,
    /// Replaces the client CA of the ConfigMap (`--client-ca-file`).
    pub client_ca: Option<ClientCa>,
    /// Checks bearer tokens, usually [`DelegatedTokens`](crate::delegated::DelegatedTokens).
    pub tokens: Option<Arc<dyn TokenVerifier>>,
    /// Whether requests without credentials go on as anonymous (upstream: yes).
    pub anonymous: bool,
    /// Do not look the ConfigMap up at all (`--authentication-skip-lookup`).
    pub skip_lookup: bool,
    /// Start without the ConfigMap if it cannot be read (`--authentication-tolerate-lookup-failure`). It is taken into
    /// force as soon as it can be read.
    pub tolerate_lookup_failure: bool,
    /// The file that `client_ca` was read from, if it is to be followed.
    pub client_ca_file: Option<PathBuf>,
    /// The file that the CA in `front_proxy` was read from, if it is to be followed.
    pub requestheader_ca_file: Option<PathBuf>,
    /// Is told what is wrong with the settings.
    pub advice: Option<Advice>,
}

/// Reads a CA bundle from a file.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn read_bundle(path: &Path) -> Result<CaBundle, ApiserverError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ApiserverError::File { path: path.to_owned(), error })?;
    CaBundle::from_pem(&text, &path.display().to_string())
}

/// Reads the settings and keeps them up to date until shutdown.
///
/// # Errors
/// The ConfigMap cannot be read or used, and the flags do not say to go on without it.
pub async fn start(
    client: kube::Client,
    flags: Flags,
    shutdown: CancellationToken,
) -> Result<Arc<LiveAuthenticators>, ApiserverError> {
    let mut source = Source::new(flags);
    if source.flags.skip_lookup {
        let live = LiveAuthenticators::new(source.combine()?);
        if source.follows_files() {
            let live = live.clone();
            tokio::spawn(shutdown.run_until_cancelled_owned(async move {
                loop {
                    tokio::time::sleep(FILES_INTERVAL).await;
                    source.look_at_files(&live);
                }
            }));
        }
        return Ok(live);
    }
    let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let first = match source.read(&api).await {
        Ok(authenticators) => authenticators,
        Err(error) if source.flags.tolerate_lookup_failure => {
            source.complain(Some(error.to_string()));
            combine(&source.flags, &BTreeMap::new())?
        }
        Err(error) => return Err(error),
    };
    let live = LiveAuthenticators::new(first);
    tokio::spawn(shutdown.run_until_cancelled_owned(watch(api, source, live.clone())));
    Ok(live)
}

/// The settings and what they were made from.
struct Source {
    flags: Flags,
    observer: Option<Arc<ProxyObserver>>,
    /// What the ConfigMap held last, if it was usable.
    data: Option<BTreeMap<String, String>>,
}

impl Source {
    fn new(flags: Flags) -> Self {
        let observer = flags.advice.clone().map(|advice| Arc::new(ProxyObserver::new(advice)));
        Self { flags, observer, data: None }
    }

    fn combine(&self) -> Result<Authenticators, ApiserverError> {
        self.combine_with(self.data.as_ref().unwrap_or(&BTreeMap::new()))
    }

    fn combine_with(&self, data: &BTreeMap<String, String>) -> Result<Authenticators, ApiserverError> {
        let mut authenticators = combine(&self.flags, data)?;
        if let Some(proxy) = &mut authenticators.front_proxy {
            proxy.observer.clone_from(&self.observer);
        }
        Ok(authenticators)
    }

    async fn read(&mut self, api: &Api<ConfigMap>) -> Result<Authenticators, ApiserverError> {
        let limit = if self.flags.tolerate_lookup_failure { FIRST_READ } else { Duration::from_secs(60) };
        let map = match tokio::time::timeout(limit, api.get(NAME)).await {
            Ok(Ok(map)) => map,
            Ok(Err(error)) => return Err(settings_error(why(&error))),
            Err(_) => return Err(settings_error(format!("no answer within {} s", limit.as_secs()))),
        };
        let data = map.data.unwrap_or_default();
        let authenticators = self.combine_with(&data)?;
        self.settled(data, &authenticators);
        Ok(authenticators)
    }

    /// Takes data that proved usable.
    fn settled(&mut self, data: BTreeMap<String, String>, made: &Authenticators) {
        self.data = Some(data);
        self.complain(made.front_proxy.is_none().then(|| {
            format!(
                "ConfigMap {NAMESPACE}/{NAME} holds no requestheader-client-ca-file, so requests through kube-apiserver \
                 cannot be told from forged ones and get 401: start kube-apiserver with \
                 --requestheader-client-ca-file and --proxy-client-cert-file"
            )
        }));
    }

    fn changed(&mut self, data: BTreeMap<String, String>, live: &LiveAuthenticators) {
        if self.data.as_ref() == Some(&data) {
            return self.complain(None);
        }
        match self.combine_with(&data) {
            Ok(authenticators) => {
                self.settled(data, &authenticators);
                live.set(authenticators);
                tracing::info!(name = NAME, "authentication settings in force");
            }
            Err(error) => self.complain(Some(format!("{error}; the settings in force stay"))),
        }
    }

    fn complain(&self, finding: Option<String>) {
        match (&self.flags.advice, finding) {
            (Some(advice), finding) => advice.set(TOPIC, finding),
            (None, Some(finding)) => tracing::warn!("{finding}"),
            (None, None) => {}
        }
    }

    fn follows_files(&self) -> bool {
        self.flags.client_ca_file.is_some() || self.flags.requestheader_ca_file.is_some()
    }

    fn look_at_files(&mut self, live: &LiveAuthenticators) {
        let read = |path: &Option<PathBuf>| {
            let bundle = read_bundle(path.as_ref()?);
            bundle.inspect_err(|error| tracing::warn!(%error, "CA file kept as it was")).ok()
        };
        let client = read(&self.flags.client_ca_file)
            .filter(|new| self.flags.client_ca.as_ref().is_some_and(|old| old.bundle != *new));
        let proxy = read(&self.flags.requestheader_ca_file)
            .filter(|new| self.flags.front_proxy.as_ref().is_some_and(|old| old.ca != *new));
        if client.is_none() && proxy.is_none() {
            return;
        }
        if let Some(bundle) = client {
            self.flags.client_ca = Some(ClientCa { bundle });
        }
        if let (Some(ca), Some(front_proxy)) = (proxy, &mut self.flags.front_proxy) {
            front_proxy.ca = ca;
        }
        match self.combine() {
            Ok(authenticators) => {
                live.set(authenticators);
                tracing::info!("CA files read again");
            }
            Err(error) => tracing::warn!(%error, "CA files not usable, old ones kept"),
        }
    }
}

/// Why the ConfigMap cannot be read, and how to mend it.
fn why(error: &kube::Error) -> String {
    match (api_error::explain(error), error) {
        (Some(reason), _) => reason,
        (None, kube::Error::Api(status)) if status.code == 403 => format!(
            "{}; without it requests through kube-apiserver get 401: bind Role extension-apiserver-authentication-reader \
             of namespace {NAMESPACE} to this account",
            status.message
        ),
        (None, other) => other.to_string(),
    }
}

async fn watch(api: Api<ConfigMap>, mut source: Source, live: Arc<LiveAuthenticators>) {
    let config = Config::default().fields(&format!("metadata.name={NAME}"));
    let mut events = std::pin::pin!(watcher(api, config));
    let mut files = tokio::time::interval(FILES_INTERVAL);
    let follows_files = source.follows_files();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = files.tick(), if follows_files => {
                source.look_at_files(&live);
                continue;
            }
        };
        match event {
            Some(Ok(Event::Apply(map) | Event::InitApply(map))) => {
                source.changed(map.data.unwrap_or_default(), &live);
            }
            // A deleted ConfigMap is a mistake someone is about to repair; until then the old settings hold.
            Some(Ok(Event::Delete(_))) => {
                source.complain(Some(format!(
                    "ConfigMap {NAMESPACE}/{NAME} was deleted; the settings in force stay"
                )));
            }
            Some(Ok(Event::Init | Event::InitDone)) => {}
            Some(Err(error)) => {
                let reason = match &error {
                    watcher::Error::InitialListFailed(error)
                    | watcher::Error::WatchStartFailed(error)
                    | watcher::Error::WatchFailed(error) => why(error),
                    other => other.to_string(),
                };
                source.complain(Some(format!(
                    "ConfigMap {NAMESPACE}/{NAME} cannot be watched, the settings in force stay: {reason}"
                )));
                tokio::time::sleep(WATCH_RETRY).await;
            }
            None => return,
        }
    }
}

fn settings_error(reason: String) -> ApiserverError {
    ApiserverError::Settings { namespace: NAMESPACE.into(), name: NAME.into(), reason }
}

/// Flags over ConfigMap. A half that neither gives is off.
fn combine(flags: &Flags, data: &BTreeMap<String, String>) -> Result<Authenticators, ApiserverError> {
    let front_proxy = match &flags.front_proxy {
        Some(proxy) => Some(proxy.clone()),
        None => front_proxy_of(data)?,
    };
    let client_ca = match &flags.client_ca {
        Some(ca) => Some(ca.clone()),
        None => bundle(data, "client-ca-file")?.map(|bundle| ClientCa { bundle }),
    };
    Ok(Authenticators { front_proxy, client_ca, tokens: flags.tokens.clone(), anonymous: flags.anonymous })
}

fn front_proxy_of(data: &BTreeMap<String, String>) -> Result<Option<FrontProxy>, ApiserverError> {
    let Some(ca) = bundle(data, "requestheader-client-ca-file")? else { return Ok(None) };
    Ok(Some(FrontProxy {
        ca,
        allowed_names: names(data, "requestheader-allowed-names")?,
        username_headers: names(data, "requestheader-username-headers")?,
        group_headers: names(data, "requestheader-group-headers")?,
        extra_prefixes: names(data, "requestheader-extra-headers-prefix")?,
        uid_headers: names(data, "requestheader-uid-headers")?,
        observer: None,
    }))
}

fn bundle(data: &BTreeMap<String, String>, key: &str) -> Result<Option<CaBundle>, ApiserverError> {
    let Some(pem) = data.get(key).filter(|pem| !pem.trim().is_empty()) else { return Ok(None) };
    CaBundle::from_pem(pem, &format!("{key} of ConfigMap {NAMESPACE}/{NAME}")).map(Some)
}

/// A JSON array as text; absent means empty.
fn names(data: &BTreeMap<String, String>, key: &str) -> Result<Vec<String>, ApiserverError> {
    let Some(text) = data.get(key).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|error| settings_error(format!("{key}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::CertificateAuthority;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_come_from_the_map_and_errors_name_the_key() {
        let pem = CertificateAuthority::new("proxy").unwrap().certificate_pem();
        let full = data(&[
            ("client-ca-file", &pem),
            ("requestheader-client-ca-file", &pem),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
        ]);
        let built = combine(&Flags::default(), &full).unwrap();
        let proxy = built.front_proxy.unwrap();
        assert_eq!((proxy.allowed_names.len(), proxy.username_headers.len()), (1, 1));
        assert!(proxy.uid_headers.is_empty() && built.client_ca.is_some());
        let nothing = combine(&Flags::default(), &BTreeMap::new()).unwrap();
        assert!(nothing.front_proxy.is_none() && nothing.client_ca.is_none());
        for (pairs, text) in [
            (data(&[("client-ca-file", "x")]), "client-ca-file"),
            (
                data(&[("requestheader-client-ca-file", &pem), ("requestheader-group-headers", "[")]),
                "group-headers",
            ),
        ] {
            let error = combine(&Flags::default(), &pairs).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}

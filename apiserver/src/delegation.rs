//! The cluster's authentication settings: ConfigMap `kube-system/extension-apiserver-authentication`, read at
//! start and watched, so that a rotated CA takes effect without a restart.

#![allow(clippy::disallowed_methods, reason = "this module owns the task that watches the ConfigMap")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::watcher::{Config, Event, watcher};
use tokio_util::sync::CancellationToken;

use crate::authentication::{
    Authenticators, CaBundle, ClientCa, FrontProxy, LiveAuthenticators, TokenVerifier,
};
use crate::error::ApiserverError;

/// Namespace of the ConfigMap.
pub const NAMESPACE: &str = "kube-system";
/// Name of the ConfigMap.
pub const NAME: &str = "extension-apiserver-authentication";
/// Pause after a failed watch; the settings in use stay meanwhile.
const WATCH_RETRY: Duration = Duration::from_secs(5);

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
    /// Start without the ConfigMap if it cannot be read (`--authentication-tolerate-lookup-failure`).
    pub tolerate_lookup_failure: bool,
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
    if flags.skip_lookup {
        return Ok(LiveAuthenticators::new(combine(&flags, &BTreeMap::new())?));
    }
    let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let found = match api.get(NAME).await {
        Ok(map) => combine(&flags, &map.data.unwrap_or_default()),
        Err(error) => Err(settings_error(error.to_string())),
    };
    let first = match found {
        Ok(authenticators) => authenticators,
        Err(error) if flags.tolerate_lookup_failure => {
            tracing::warn!(%error, "starting without the cluster's authentication settings");
            combine(&flags, &BTreeMap::new())?
        }
        Err(error) => return Err(error),
    };
    let live = LiveAuthenticators::new(first);
    tokio::spawn(shutdown.run_until_cancelled_owned(watch(api, flags, live.clone())));
    Ok(live)
}

async fn watch(api: Api<ConfigMap>, flags: Flags, live: Arc<LiveAuthenticators>) {
    let config = Config::default().fields(&format!("metadata.name={NAME}"));
    let mut events = std::pin::pin!(watcher(api, config));
    let mut data = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                let changed = data.as_ref() != Some(&map.data);
                if changed {
                    apply(&flags, &map.data.clone().unwrap_or_default(), &live);
                    data = Some(map.data);
                }
            }
            // A deleted ConfigMap is a mistake someone is about to repair; until then the old settings hold.
            Ok(Event::Delete(_)) => {
                tracing::warn!(name = NAME, "authentication settings deleted, old ones kept")
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => {
                tracing::warn!(name = NAME, %error, "authentication settings not watched, old ones kept");
                tokio::time::sleep(WATCH_RETRY).await;
            }
        }
    }
}

fn apply(flags: &Flags, data: &BTreeMap<String, String>, live: &LiveAuthenticators) {
    match combine(flags, data) {
        Ok(authenticators) => {
            live.set(authenticators);
            tracing::info!(name = NAME, "authentication settings in force");
        }
        Err(error) => tracing::warn!(%error, "authentication settings not usable, old ones kept"),
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

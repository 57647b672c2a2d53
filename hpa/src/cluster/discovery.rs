//! Which resource a kind is, and which versions a group serves; asked once and refreshed rarely.

use super::Api;
use crate::error::ApiError;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer is believed this long.
const LIFETIME: Duration = Duration::from_secs(300);
/// A kind or group that was not found is asked for again after this time.
const MISS_LIFETIME: Duration = Duration::from_secs(10);
/// Versions of one group that are looked at, the preferred one first.
const MAX_VERSIONS: usize = 8;

/// Where objects of a kind are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// API group, empty for the core group.
    pub(crate) group: String,
    /// Preferred version that has the kind.
    pub(crate) version: String,
    /// Plural name.
    pub(crate) plural: String,
}

impl Mapping {
    /// Path of one object in a namespace.
    pub(crate) fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        let (version, plural) = (&self.version, &self.plural);
        format!("{root}/{version}/namespaces/{}/{plural}/{}", super::encode(namespace), super::encode(name))
    }

    /// `deployments.apps`
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

#[derive(Clone)]
struct Known<T> {
    at: Instant,
    found: Option<T>,
}

impl<T> Known<T> {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < if self.found.is_some() { LIFETIME } else { MISS_LIFETIME }
    }
}

/// Group and kind.
type Kind = (String, String);

/// Cached discovery.
pub(crate) struct Discovery {
    api: Api,
    kinds: Mutex<HashMap<Kind, Known<Arc<Mapping>>>>,
    groups: Mutex<HashMap<String, Known<Vec<String>>>>,
    /// Whether a resource has a verb, by group version, plural name and verb.
    offers: Mutex<HashMap<(String, String, String), Known<()>>>,
}

impl Discovery {
    pub(crate) fn new(api: Api) -> Self {
        Discovery { api, kinds: Mutex::default(), groups: Mutex::default(), offers: Mutex::default() }
    }

    /// The mapping of a kind, given with its group.
    ///
    /// # Errors
    ///
    /// The server did not answer, or no version of the group has the kind (upstream's text).
    pub(crate) async fn mapping(&self, of: &Kind) -> Result<Arc<Mapping>, ApiError> {
        let (group, kind) = of;
        let unknown =
            || ApiError { code: 404, message: format!("no matches for kind {kind:?} in group {group:?}") };
        // The lock is held while asking, so that a start with many HPAs asks once.
        let mut kinds = self.kinds.lock().await;
        if let Some(known) = kinds.get(of).filter(|known| known.is_fresh()) {
            return known.found.clone().ok_or_else(unknown);
        }
        let found = Box::pin(self.find(group, kind)).await?.map(Arc::new);
        kinds.insert(of.clone(), Known { at: Instant::now(), found: found.clone() });
        found.ok_or_else(unknown)
    }

    async fn find(&self, group: &str, kind: &str) -> Result<Option<Mapping>, ApiError> {
        let versions =
            if group.is_empty() { Some(vec!["v1".to_owned()]) } else { self.versions(group).await? };
        for version in versions.into_iter().flatten().take(MAX_VERSIONS) {
            let path =
                if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let list = self.api.get(&path).await?;
            let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = |item: &&Value| {
                item["kind"] == kind && item["name"].as_str().is_some_and(|n| !n.contains('/'))
            };
            if let Some(plural) = resources.iter().find(names).and_then(|item| item["name"].as_str()) {
                let (group, plural) = (group.to_owned(), plural.to_owned());
                return Ok(Some(Mapping { group, version, plural }));
            }
        }
        Ok(None)
    }

    /// Whether a resource can be asked for by this verb; not, as long as the server does not say so.
    pub(crate) async fn offers(&self, group: &str, version: &str, plural: &str, verb: &str) -> bool {
        let group_version = format!("{group}/{version}");
        let key = (group_version.clone(), plural.to_owned(), verb.to_owned());
        let mut offers = self.offers.lock().await;
        if let Some(known) = offers.get(&key).filter(|known| known.at.elapsed() < LIFETIME) {
            return known.found.is_some();
        }
        let list = match self.api.get(&format!("/apis/{group_version}")).await {
            Ok(list) => list,
            Err(error) if error.is_not_found() => Value::Null,
            Err(_) => return false,
        };
        let mut resources = list["resources"].as_array().into_iter().flatten();
        let found = resources.find(|resource| resource["name"] == plural);
        let verbs = found.and_then(|resource| resource["verbs"].as_array());
        let found = verbs.filter(|verbs| verbs.iter().any(|each| each == verb)).map(drop);
        offers.insert(key, Known { at: Instant::now(), found });
        found.is_some()
    }

    /// Versions of a group, the preferred one first; `None` if it is not served.
    ///
    /// # Errors
    ///
    /// The server did not answer.
    pub(crate) async fn versions(&self, group: &str) -> Result<Option<Vec<String>>, ApiError> {
        let mut groups = self.groups.lock().await;
        if let Some(known) = groups.get(group).filter(|known| known.is_fresh()) {
            return Ok(known.found.clone());
        }
        let found = match self.api.get(&format!("/apis/{group}")).await {
            Ok(answer) => Some(versions_of(&answer)),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        groups.insert(group.to_owned(), Known { at: Instant::now(), found: found.clone() });
        Ok(found)
    }

    /// Forgets where a kind is served, after its path turned out to be gone: another version may serve it now. Asked for
    /// at most as often as a kind that was never found.
    pub(crate) async fn forget_kind(&self, group: &str, kind: &str) {
        let mut kinds = self.kinds.lock().await;
        let key = (group.to_owned(), kind.to_owned());
        if kinds.get(&key).is_some_and(|known| known.at.elapsed() >= MISS_LIFETIME) {
            kinds.remove(&key);
            drop(kinds);
            self.forget(group).await;
        }
    }

    /// Forgets a group, after one of its versions turned out to be gone.
    pub(crate) async fn forget(&self, group: &str) {
        self.groups.lock().await.remove(group);
    }
}

fn versions_of(group: &Value) -> Vec<String> {
    let text = |value: &Value| value["version"].as_str().map(str::to_owned);
    let mut versions: Vec<String> = text(&group["preferredVersion"]).into_iter().collect();
    for version in group["versions"].as_array().into_iter().flatten().filter_map(text) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}

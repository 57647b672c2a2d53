//! The watches themselves. Of a pod only the fields that decisions look at are parsed.

use crate::kind::ApiKind;
use flyball_model::quantity::Quantity;
use futures_util::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Objects per page of a list.
const PAGE: u32 = 500;

/// Events of all HPAs, without end; failures are logged and retried with growing pauses.
pub(crate) fn hpa_events(client: Client, kind: ApiKind) -> impl Stream<Item = Event<DynamicObject>> {
    events(Api::<DynamicObject>::all_with(client, &kind.resource()), "horizontalpodautoscalers")
}

/// Events of all pods.
pub(crate) fn pod_events(client: Client) -> impl Stream<Item = Event<WirePod>> {
    events(Api::<WirePod>::all(client), "pods")
}

fn events<K>(api: Api<K>, what: &'static str) -> impl Stream<Item = Event<K>>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    attempts(api, what).filter_map(std::future::ready)
}

/// Events, and `None` for each failure.
pub(super) fn attempts<K>(api: Api<K>, what: &'static str) -> impl Stream<Item = Option<Event<K>>>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut told = String::new();
    watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff().map(move |event| match event {
        Ok(event) => {
            told.clear();
            Some(event)
        }
        Err(error) => {
            // Once per cause: an API server that restarts, or a missing permission, fails many times alike.
            let text = error.to_string();
            if text != told {
                tracing::warn!(what, %error, "the watch failed and is retried");
                told = text;
            }
            None
        }
    })
}

/// A pod, as far as it matters.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WirePod {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: WireSpec,
    #[serde(default)]
    pub(crate) status: WireStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireSpec {
    pub(crate) containers: Vec<WireContainer>,
    pub(crate) init_containers: Vec<WireContainer>,
    pub(crate) resources: Option<WireResources>,
    pub(crate) overhead: Option<BTreeMap<String, Quantity>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireContainer {
    pub(crate) name: String,
    pub(crate) restart_policy: Option<String>,
    pub(crate) resources: Option<WireResources>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WireResources {
    pub(crate) requests: Option<BTreeMap<String, Quantity>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireStatus {
    pub(crate) phase: Option<String>,
    pub(crate) start_time: Option<String>,
    pub(crate) conditions: Option<Vec<WireCondition>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireCondition {
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) status: String,
    pub(crate) last_transition_time: Option<String>,
}

impl Resource for WirePod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Pod".into()
    }
    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }
    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural(_: &()) -> Cow<'_, str> {
        "pods".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

//! Watches the API server for one of `kubernetes_sd_configs`.

use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::job::{Kind, Kubernetes};
use super::Update;
use super::world::{Happened, World, kinds};
use crate::discover::logged;

type Events = SelectAll<BoxStream<'static, (usize, Happened)>>;

/// Follows the objects until `shutdown`, and tells all jobs that look for them. Failing watches are retried with back-off
/// and logged. The number of this search tells its sources from those of others.
pub(in super::super) async fn follow(
    client: Client,
    number: usize,
    of: Kubernetes,
    jobs: Vec<mpsc::Sender<Update>>,
    shutdown: CancellationToken,
) {
    let namespaces = namespaces(&of, client.default_namespace());
    let mut events = watches(&client, &of, &namespaces);
    let mut world = World::new(&of, namespaces.len());
    loop {
        let (scope, happened) = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = events.next() => event,
            else => return,
        };
        for Update { source, found } in world.take(scope, happened) {
            let update = Update { source: format!("{number}/{source}"), found };
            for job in &jobs {
                let told = tokio::select! {
                    () = shutdown.cancelled() => return,
                    told = job.send(update.clone()) => told,
                };
                if told.is_err() {
                    return;
                }
            }
        }
    }
}

/// Namespaces to watch; `None` is all of them.
fn namespaces(of: &Kubernetes, own: &str) -> Vec<Option<String>> {
    let mut named = of.namespaces.clone();
    if of.own_namespace && !named.iter().any(|name| name == own) {
        named.push(own.to_owned());
    }
    if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() }
}

fn watches(client: &Client, of: &Kubernetes, namespaces: &[Option<String>]) -> Events {
    let (namespaced, nodes) = kinds(of);
    let mut events = Events::new();
    for (scope, namespace) in namespaces.iter().enumerate() {
        for kind in &namespaced {
            let config = selected(of, *kind);
            events.push(match kind {
                Kind::Pod => events_of::<Pod>(client, namespace, config, "pods to scrape")
                    .map(move |event| (scope, Happened::Pod(event)))
                    .boxed(),
                Kind::Service => events_of::<Service>(client, namespace, config, "services to scrape")
                    .map(move |event| (scope, Happened::Service(event)))
                    .boxed(),
                Kind::Endpoints => events_of::<Endpoints>(client, namespace, config, "endpoints to scrape")
                    .map(move |event| (scope, Happened::Endpoints(event)))
                    .boxed(),
                Kind::Node => continue,
            });
        }
    }
    if nodes {
        let watch = watcher(Api::<Node>::all(client.clone()), selected(of, Kind::Node));
        let told = logged(watch.default_backoff(), "nodes to scrape").filter_map(std::future::ready);
        events.push(told.map(|event| (0, Happened::Node(event))).boxed());
    }
    events
}

fn selected(of: &Kubernetes, kind: Kind) -> watcher::Config {
    let selector = of.selectors.iter().find(|(have, _)| *have == kind).map(|(_, selector)| selector);
    let mut config = watcher::Config::default();
    if let Some(selector) = selector {
        if !selector.label.is_empty() {
            config = config.labels(&selector.label);
        }
        if !selector.field.is_empty() {
            config = config.fields(&selector.field);
        }
    }
    config
}

fn events_of<K>(
    client: &Client,
    namespace: &Option<String>,
    config: watcher::Config,
    what: &'static str,
) -> impl Stream<Item = watcher::Event<K>> + Send + 'static
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let api = match namespace {
        Some(namespace) => Api::<K>::namespaced(client.clone(), namespace),
        None => Api::<K>::all(client.clone()),
    };
    logged(watcher(api, config).default_backoff(), what).filter_map(std::future::ready)
}

#[cfg(test)]
mod tests {
    use super::super::super::job::Role;
    use super::*;

    #[test]
    fn namespaces_to_watch() {
        let of = |names: &[&str], own_namespace| Kubernetes {
            role: Role::Pod,
            namespaces: names.iter().map(|name| (*name).to_owned()).collect(),
            own_namespace,
            selectors: Vec::new(),
            attach_node: false,
        };
        let shown = |of: &Kubernetes| {
            namespaces(of, "me")
                .into_iter()
                .map(|name| name.unwrap_or("*".into()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown(&of(&[], false)), "*");
        assert_eq!(shown(&of(&[], true)), "me");
        assert_eq!(shown(&of(&["a", "b"], true)), "a b me");
        assert_eq!(shown(&of(&["a", "me"], true)), "a me");
    }
}

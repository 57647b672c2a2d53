//! What is known of the cluster for one of `kubernetes_sd_configs`. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Node, Pod, Service};
use kube::runtime::watcher::Event;

use super::super::job::{Kind, Kubernetes, Role};
use super::endpoints::Around;
use super::lone::LonePods;
use super::store::{Change, Store, key};
use super::{Update, endpoints, node, pod, trim};

/// Something happened to an object of a kind.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and most are pods")]
pub(super) enum Happened {
    Pod(Event<Pod>),
    Node(Event<Node>),
    Service(Event<Service>),
    Endpoints(Event<Endpoints>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    role: Role,
    attach_node: bool,
    /// Pods as long as nothing else has to be known with them; the stores are empty then.
    lone: Option<LonePods>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    services: Store<Service>,
    endpoints: Store<Endpoints>,
    /// Everything was told once.
    told: bool,
}

/// Kinds that are watched, those in namespaces apart.
pub(super) fn kinds(of: &Kubernetes) -> (Vec<Kind>, bool) {
    match of.role {
        Role::Pod => (vec![Kind::Pod], of.attach_node),
        Role::Node => (Vec::new(), true),
        Role::Endpoints => (vec![Kind::Endpoints, Kind::Service, Kind::Pod], of.attach_node),
    }
}

impl World {
    /// Nothing is known yet; namespaced kinds are watched in so many namespaces.
    pub(super) fn new(of: &Kubernetes, namespaces: usize) -> World {
        let (namespaced, nodes) = kinds(of);
        let is_lone = of.role == Role::Pod && !of.attach_node;
        let scopes = |kind| if namespaced.contains(&kind) && !is_lone { namespaces } else { 0 };
        World {
            role: of.role,
            attach_node: of.attach_node,
            lone: is_lone.then(|| LonePods::new(namespaces)),
            pods: Store::new(scopes(Kind::Pod)),
            services: Store::new(scopes(Kind::Service)),
            endpoints: Store::new(scopes(Kind::Endpoints)),
            nodes: Store::new(usize::from(nodes)),
            told: false,
        }
    }

    /// Takes what happened in the watch of a scope; what changed by it. Nothing is told before everything is known once,
    /// for half of it would make targets with half of their labels.
    pub(super) fn take(&mut self, scope: usize, happened: Happened) -> Vec<Update> {
        let (kind, change) = match happened {
            Happened::Pod(event) if self.lone.is_some() => {
                return self.lone.as_mut().map(|lone| lone.take(scope, event)).unwrap_or_default();
            }
            Happened::Pod(event) => (Kind::Pod, self.pods.take(scope, event, trim::pod)),
            Happened::Node(event) => (Kind::Node, self.nodes.take(scope, event, trim::node)),
            Happened::Service(event) => (Kind::Service, self.services.take(scope, event, trim::service)),
            Happened::Endpoints(event) => {
                (Kind::Endpoints, self.endpoints.take(scope, event, trim::endpoints))
            }
        };
        if !self.is_synced() {
            return Vec::new();
        }
        if !std::mem::replace(&mut self.told, true) {
            return self.all().iter().map(|key| self.update(key)).collect();
        }
        let Change::Some(keys) = change else { return Vec::new() };
        let touched: BTreeSet<String> = keys.iter().flat_map(|key| self.touched(kind, key)).collect();
        touched.iter().map(|key| self.update(key)).collect()
    }

    fn is_synced(&self) -> bool {
        self.pods.is_synced()
            && self.nodes.is_synced()
            && self.services.is_synced()
            && self.endpoints.is_synced()
    }

    /// Keys of all objects that become targets.
    fn all(&self) -> Vec<String> {
        match self.role {
            Role::Pod => self.pods.iter().map(|(key, _)| key.clone()).collect(),
            Role::Node => self.nodes.iter().map(|(key, _)| key.clone()).collect(),
            Role::Endpoints => self.endpoints.iter().map(|(key, _)| key.clone()).collect(),
        }
    }

    /// Keys of the objects whose targets change with this one.
    fn touched(&self, kind: Kind, key: &str) -> Vec<String> {
        match (self.role, kind) {
            (Role::Pod, Kind::Pod)
            | (Role::Node, Kind::Node)
            | (Role::Endpoints, Kind::Endpoints | Kind::Service) => vec![key.to_owned()],
            (Role::Pod, Kind::Node) => self.keys(&self.pods, |pod| {
                pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(key)
            }),
            (Role::Endpoints, Kind::Pod) => {
                let is_pod = |address: &EndpointAddress| {
                    address.target_ref.as_ref().is_some_and(|reference| {
                        let part = |part: &Option<String>| part.clone().unwrap_or_default();
                        reference.kind.as_deref() == Some("Pod")
                            && self::key(&part(&reference.namespace), &part(&reference.name)) == key
                    })
                };
                self.keys(&self.endpoints, |endpoints| any_address(endpoints, is_pod))
            }
            (Role::Endpoints, Kind::Node) => {
                let is_there = |address: &EndpointAddress| {
                    let referred =
                        address.target_ref.as_ref().and_then(|reference| reference.name.as_deref());
                    address.node_name.as_deref() == Some(key) || referred == Some(key)
                };
                self.keys(&self.endpoints, |endpoints| any_address(endpoints, is_there))
            }
            _ => Vec::new(),
        }
    }

    fn keys<K: kube::ResourceExt + PartialEq>(
        &self,
        store: &Store<K>,
        wanted: impl Fn(&K) -> bool,
    ) -> Vec<String> {
        store.iter().filter(|(_, object)| wanted(object)).map(|(key, _)| key.clone()).collect()
    }

    fn update(&self, key: &str) -> Update {
        let (kind, found) = match self.role {
            Role::Pod => ("pod", self.pods.get(key).map(|pod| pod::targets(pod, self.node_of(pod)))),
            Role::Node => ("node", self.nodes.get(key).map(node::targets)),
            Role::Endpoints => {
                ("endpoints", self.endpoints.get(key).map(|object| endpoints::targets(object, self)))
            }
        };
        Update { source: format!("{kind}/{key}"), found: found.unwrap_or_default().into() }
    }

    fn node_of(&self, pod: &Pod) -> Option<&Node> {
        pod.spec.as_ref().and_then(|spec| self.node(spec.node_name.as_deref()?))
    }
}

fn any_address(endpoints: &Endpoints, wanted: impl Fn(&EndpointAddress) -> bool) -> bool {
    let subsets = endpoints.subsets.iter().flatten();
    let mut addresses = subsets.flat_map(|subset| {
        subset.addresses.iter().flatten().chain(subset.not_ready_addresses.iter().flatten())
    });
    addresses.any(wanted)
}

impl Around for World {
    fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&key(namespace, name))
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.pods.get(&key(namespace, name))
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).filter(|_| self.attach_node)
    }
}

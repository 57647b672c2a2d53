//! What is kept of objects: a cluster has many pods, and of each a few fields are needed. Pure.

use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Endpoints, Node, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

fn metadata(full: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: full.name,
        namespace: full.namespace,
        labels: full.labels,
        annotations: full.annotations,
        uid: full.uid,
        owner_references: full.owner_references,
        ..ObjectMeta::default()
    }
}

pub(super) fn pod(full: Pod) -> Pod {
    let container = |full: Container| Container {
        name: full.name,
        image: full.image,
        ports: full.ports,
        ..Container::default()
    };
    let containers = |all: Vec<Container>| all.into_iter().map(container).collect::<Vec<_>>();
    let status = |full: ContainerStatus| ContainerStatus {
        name: full.name,
        container_id: full.container_id,
        ..ContainerStatus::default()
    };
    let statuses = |all: Vec<ContainerStatus>| all.into_iter().map(status).collect::<Vec<_>>();
    Pod {
        metadata: metadata(full.metadata),
        spec: full.spec.map(|spec| PodSpec {
            containers: containers(spec.containers),
            init_containers: spec.init_containers.map(containers),
            node_name: spec.node_name,
            ..PodSpec::default()
        }),
        status: full.status.map(|status| PodStatus {
            pod_ip: status.pod_ip,
            host_ip: status.host_ip,
            phase: status.phase,
            conditions: status.conditions.map(|mut all| {
                all.retain(|condition| condition.type_ == "Ready");
                // Times of probes would make every heartbeat a change.
                for condition in &mut all {
                    (condition.last_probe_time, condition.last_transition_time) = (None, None);
                    (condition.message, condition.reason) = (None, None);
                }
                all
            }),
            container_statuses: status.container_statuses.map(statuses),
            init_container_statuses: status.init_container_statuses.map(statuses),
            ..PodStatus::default()
        }),
    }
}

pub(super) fn node(full: Node) -> Node {
    Node {
        metadata: metadata(full.metadata),
        spec: full.spec.map(|spec| NodeSpec { provider_id: spec.provider_id, ..NodeSpec::default() }),
        status: full.status.map(|status| NodeStatus {
            addresses: status.addresses,
            daemon_endpoints: status.daemon_endpoints,
            ..NodeStatus::default()
        }),
    }
}

pub(super) fn service(full: Service) -> Service {
    Service { metadata: metadata(full.metadata), ..Service::default() }
}

pub(super) fn endpoints(full: Endpoints) -> Endpoints {
    Endpoints { metadata: metadata(full.metadata), subsets: full.subsets }
}

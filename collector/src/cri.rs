#![allow(clippy::disallowed_methods, reason = "connects to the container runtime's socket")]
//! Names of pods and containers from the container runtime: CRI's `ListPodSandbox` and `ListContainers`, gRPC over a local
//! socket; what its images take: `ImageFsInfo`; and, where files do not tell it, what writable layers take:
//! `ListContainerStats`. Costs the cluster nothing.
//!
//! Messages hold only the fields that are used; their numbers are those of kubernetes/cri-api `pkg/apis/runtime/v1/api.proto`.
//! The whole list is asked for when new groups have no name: one question for any number of them.

use crate::names::{ContainerFacts, NameTable, PodFacts, PodName, SandboxFacts};
use crate::runtime_store::{Store, StoreUse};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Where runtimes listen: containerd, CRI-O, cri-dockerd, containerd of k3s.
pub const SOCKETS: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
];
/// How long a runtime may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer, bytes.
const ANSWER_BYTES: usize = 32 << 20;
/// Bytes before a gRPC message: a flag for compression and the length.
const PREFIX_BYTES: usize = 5;

#[derive(Clone, PartialEq, Message)]
struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<PodSandboxMetadata>,
    /// Unix nanoseconds.
    #[prost(int64, tag = "4")]
    created_at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    image: Option<ImageSpec>,
    /// Unix nanoseconds.
    #[prost(int64, tag = "7")]
    created_at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    /// Often the image's digest.
    #[prost(string, tag = "1")]
    image: String,
    /// As the pod names it; empty before CRI of Kubernetes 1.29.
    #[prost(string, tag = "18")]
    user_specified_image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageFsInfoResponse {
    #[prost(message, repeated, tag = "1")]
    image_filesystems: Vec<FilesystemUsage>,
    /// Since CRI of Kubernetes 1.29.
    #[prost(message, repeated, tag = "2")]
    container_filesystems: Vec<FilesystemUsage>,
}

#[derive(Clone, PartialEq, Message)]
struct ListContainerStatsResponse {
    #[prost(message, repeated, tag = "1")]
    stats: Vec<ContainerStats>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerStats {
    #[prost(message, optional, tag = "1")]
    attributes: Option<ContainerAttributes>,
    #[prost(message, optional, tag = "4")]
    writable_layer: Option<FilesystemUsage>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerAttributes {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct FilesystemUsage {
    /// Unix nanoseconds.
    #[prost(int64, tag = "1")]
    timestamp: i64,
    #[prost(message, optional, tag = "2")]
    fs_id: Option<FilesystemIdentifier>,
    #[prost(message, optional, tag = "3")]
    used_bytes: Option<UInt64Value>,
    #[prost(message, optional, tag = "4")]
    inodes_used: Option<UInt64Value>,
}

#[derive(Clone, PartialEq, Message)]
struct FilesystemIdentifier {
    #[prost(string, tag = "1")]
    mountpoint: String,
}

#[derive(Clone, PartialEq, Message)]
struct UInt64Value {
    #[prost(uint64, tag = "1")]
    value: u64,
}

/// Why the runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// The socket cannot be reached, or the answer broke off.
    #[error("{socket}: {reason}")]
    Io {
        /// The runtime's socket.
        socket: PathBuf,
        /// What happened.
        reason: String,
    },
    /// No answer in time.
    #[error("{socket}: no answer for {} s", TIMEOUT.as_secs())]
    Timeout {
        /// The runtime's socket.
        socket: PathBuf,
    },
    /// The runtime refused.
    #[error("{socket}: {method} was refused: gRPC status {status}: {message}")]
    Refused {
        /// The runtime's socket.
        socket: PathBuf,
        /// What was asked.
        method: &'static str,
        /// gRPC's number.
        status: String,
        /// The runtime's words.
        message: String,
    },
}

/// As [`names`], of the first of the usual sockets that answers.
///
/// # Errors
/// None does; the last one's reason, or that there is none.
pub async fn usual_names() -> Result<NameTable, CriError> {
    let mut last = CriError::Io { socket: PathBuf::from(SOCKETS[0]), reason: "no such socket".to_owned() };
    for socket in usual_sockets() {
        match names(socket).await {
            Ok(names) => return Ok(names),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn usual_sockets() -> impl Iterator<Item = &'static Path> {
    SOCKETS.map(Path::new).into_iter().filter(|socket| socket.exists())
}

/// Asks for everything the runtime runs.
///
/// # Errors
/// The runtime cannot be asked or refuses.
pub async fn names(socket: &Path) -> Result<NameTable, CriError> {
    let answers = ask(socket, &["RuntimeService/ListPodSandbox", "RuntimeService/ListContainers"]).await?;
    let names = answers.first().zip(answers.get(1));
    names
        .and_then(|(sandboxes, containers)| names_of(sandboxes, containers))
        .ok_or_else(|| no_message(socket))
}

/// What the images take, and where, of this socket or of the first of the usual ones that is there.
///
/// # Errors
/// The runtime cannot be asked or refuses.
pub async fn store(socket: Option<&Path>) -> Result<Store, CriError> {
    let socket = socket.or_else(|| usual_sockets().next()).unwrap_or(Path::new(SOCKETS[0]));
    let answers = ask(socket, &["ImageService/ImageFsInfo"]).await?;
    answers.first().and_then(|answer| store_of(answer)).ok_or_else(|| no_message(socket))
}

/// What the writable layer of each container takes, by its id, of this socket or of the first of the usual ones that is there.
/// The runtime looks at every container for it.
///
/// # Errors
/// The runtime cannot be asked or refuses.
pub async fn layers(socket: Option<&Path>) -> Result<HashMap<String, StoreUse>, CriError> {
    let socket = socket.or_else(|| usual_sockets().next()).unwrap_or(Path::new(SOCKETS[0]));
    let answers = ask(socket, &["RuntimeService/ListContainerStats"]).await?;
    answers.first().and_then(|answer| layers_of(answer)).ok_or_else(|| no_message(socket))
}

fn no_message(socket: &Path) -> CriError {
    CriError::Io { socket: socket.to_owned(), reason: "an answer is no message".to_owned() }
}

/// The bodies of the answers, within [`TIMEOUT`].
async fn ask(socket: &Path, methods: &[&'static str]) -> Result<Vec<Bytes>, CriError> {
    match tokio::time::timeout(TIMEOUT, connect_and_ask(socket, methods)).await {
        Ok(answer) => answer,
        Err(_) => Err(CriError::Timeout { socket: socket.to_owned() }),
    }
}

async fn connect_and_ask(socket: &Path, methods: &[&'static str]) -> Result<Vec<Bytes>, CriError> {
    let io = |reason: String| CriError::Io { socket: socket.to_owned(), reason };
    let stream = UnixStream::connect(socket).await.map_err(|error| io(error.to_string()))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| io(error.to_string()))?;
    let asking = async {
        let mut answers = Vec::with_capacity(methods.len());
        for method in methods {
            answers.push(call(socket, &mut sender, method).await?);
        }
        Ok(answers)
    };
    tokio::select! {
        answer = asking => answer,
        ended = connection => Err(io(ended.err().map_or("closed".to_owned(), |error| error.to_string()))),
    }
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

/// The body of the answer to an empty message.
async fn call(socket: &Path, sender: &mut Sender, method: &'static str) -> Result<Bytes, CriError> {
    let io = |reason: String| CriError::Io { socket: socket.to_owned(), reason };
    // An empty message without compression is its prefix alone.
    let request = http::Request::post(format!("http://localhost/runtime.v1.{method}"))
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .body(Full::new(Bytes::from_static(&[0; PREFIX_BYTES])))
        .map_err(|error| io(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| io(error.to_string()))?;
    // A refusal may come without a body, its status among the headers.
    refused(socket, method, response.headers())?;
    let body = Limited::new(response.into_body(), ANSWER_BYTES);
    let body = body.collect().await.map_err(|error| io(error.to_string()))?;
    if let Some(trailers) = body.trailers() {
        refused(socket, method, trailers)?;
    }
    Ok(body.to_bytes())
}

/// The names in the bodies of the answers to `ListPodSandbox` and `ListContainers`. `None` where one is no message.
pub fn names_of(sandboxes: &[u8], containers: &[u8]) -> Option<NameTable> {
    Some(table(&message(sandboxes)?, message(containers)?))
}

/// What the body of the answer to `ImageFsInfo` says. `None` where it is no message, or names no file system.
pub fn store_of(answer: &[u8]) -> Option<Store> {
    let ImageFsInfoResponse { image_filesystems, container_filesystems } = message(answer)?;
    let first = |all: Vec<FilesystemUsage>| all.into_iter().next().and_then(store_use);
    Some(Store { images: first(image_filesystems)?, containers: first(container_filesystems) })
}

/// What the body of the answer to `ListContainerStats` says of writable layers. `None` where it is no message.
pub fn layers_of(answer: &[u8]) -> Option<HashMap<String, StoreUse>> {
    let ListContainerStatsResponse { stats } = message(answer)?;
    let layer = |stats: ContainerStats| Some((stats.attributes?.id, store_use(stats.writable_layer?)?));
    Some(stats.into_iter().filter_map(layer).collect())
}

fn store_use(usage: FilesystemUsage) -> Option<StoreUse> {
    let mountpoint = usage.fs_id.map(|id| id.mountpoint).filter(|path| path.starts_with('/'))?;
    Some(StoreUse {
        mountpoint: PathBuf::from(mountpoint),
        bytes: usage.used_bytes.map(|used| used.value),
        inodes: usage.inodes_used.map(|used| used.value),
        unix_ms: usage.timestamp / 1_000_000,
    })
}

fn unix_ms(created_at: i64) -> Option<i64> {
    Some(created_at / 1_000_000).filter(|unix_ms| *unix_ms > 0)
}

fn refused(socket: &Path, method: &'static str, headers: &http::HeaderMap) -> Result<(), CriError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "" | "0" => Ok(()),
        status => Err(CriError::Refused {
            socket: socket.to_owned(),
            method,
            status: status.to_owned(),
            message: text("grpc-message").to_owned(),
        }),
    }
}

/// The message of a gRPC body; `None` for a compressed or broken one.
fn message<M: Message + Default>(body: &[u8]) -> Option<M> {
    let (prefix, rest) = body.split_at_checked(PREFIX_BYTES)?;
    let [0, length @ ..] = prefix else { return None };
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    M::decode(rest.get(..length)?).ok()
}

/// Sandboxes are pods; a pod whose sandbox was made anew has containers in both.
fn table(sandboxes: &ListPodSandboxResponse, containers: ListContainersResponse) -> NameTable {
    let mut pods: HashMap<&str, PodFacts> = HashMap::new();
    let mut pod_of: HashMap<&str, &str> = HashMap::new();
    for sandbox in &sandboxes.items {
        let Some(metadata) = &sandbox.metadata else { continue };
        pod_of.insert(&sandbox.id, &metadata.uid);
        let facts = pods.entry(&metadata.uid).or_insert_with(|| PodFacts {
            uid: metadata.uid.clone(),
            // The runtime knows a static pod by the hash that its control group bears, too.
            cgroup_uid: metadata.uid.clone(),
            name: PodName { namespace: metadata.namespace.clone(), pod: metadata.name.clone() },
            containers: Vec::new(),
            sandboxes: Vec::new(),
            volumes: None,
        });
        let created_unix_ms = unix_ms(sandbox.created_at);
        facts.sandboxes.push(SandboxFacts { id: sandbox.id.clone(), created_unix_ms });
    }
    for container in containers.containers {
        let pod = pod_of.get(container.pod_sandbox_id.as_str()).and_then(|uid| pods.get_mut(uid));
        let (Some(pod), Some(metadata)) = (pod, container.metadata) else { continue };
        let image = container.image.unwrap_or_default();
        let image = match image.user_specified_image {
            name if name.is_empty() => image.image,
            name => name,
        };
        pod.containers.push(ContainerFacts {
            name: metadata.name,
            id: container.id,
            image,
            started_unix_ms: unix_ms(container.created_at),
            created_unix_ms: unix_ms(container.created_at),
            // Only a question about each container would tell.
            oom_killed: None,
        });
    }
    let mut table = NameTable::default();
    for facts in pods.values() {
        table.apply(facts);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sandbox(id: &str, uid: &str) -> PodSandbox {
        let metadata = PodSandboxMetadata { name: "web-1".into(), uid: uid.into(), namespace: "shop".into() };
        PodSandbox { id: id.into(), metadata: Some(metadata), created_at: 1_767_225_601_000_000_000 }
    }

    fn container(id: &str, sandbox: &str, name: &str, image: ImageSpec) -> Container {
        Container {
            id: id.into(),
            pod_sandbox_id: sandbox.into(),
            metadata: Some(ContainerMetadata { name: name.into() }),
            image: Some(image),
            created_at: 1_767_225_607_123_456_789,
        }
    }

    #[test]
    fn sandboxes_and_containers_become_names() {
        let sandboxes = ListPodSandboxResponse {
            items: vec![
                sandbox("old", "u1"),
                sandbox("new", "u1"),
                PodSandbox { id: "x".into(), ..PodSandbox::default() },
            ],
        };
        let named = ImageSpec { image: "sha256:1".into(), user_specified_image: "registry/web:1".into() };
        let digest = ImageSpec { image: "sha256:2".into(), user_specified_image: String::new() };
        let containers = ListContainersResponse {
            containers: vec![
                container("a", "old", "init", digest),
                container("b", "new", "app", named),
                container("c", "nobody", "lost", ImageSpec::default()),
            ],
        };
        let table = table(&sandboxes, containers);
        assert_eq!(table.pod("u1").unwrap().namespace, "shop");
        let (init, app) = (table.container("a").unwrap(), table.container("b").unwrap());
        assert_eq!((init.container.as_str(), init.image.as_str()), ("init", "sha256:2"));
        assert_eq!((app.container.as_str(), app.image.as_str()), ("app", "registry/web:1"));
        assert_eq!(app.started_unix_ms, Some(1_767_225_607_123));
        assert_eq!(table.created_unix_ms("b"), Some(1_767_225_607_123));
        assert_eq!(table.created_unix_ms("new"), Some(1_767_225_601_000));
        assert!(table.container("c").is_none() && table.created_unix_ms("c").is_none());
        assert!(table.is_sandbox("old") && table.is_sandbox("new") && !table.is_sandbox("a"));
    }

    #[test]
    fn messages_have_a_prefix() {
        let sent = ListPodSandboxResponse { items: vec![sandbox("s", "u")] };
        let mut body = framed(&sent);
        assert_eq!(message::<ListPodSandboxResponse>(&body), Some(sent));
        assert_eq!(message::<ListPodSandboxResponse>(&body[..body.len() - 1]), None);
        body[0] = 1;
        assert_eq!(message::<ListPodSandboxResponse>(&body), None, "compressed");
        assert_eq!(message::<ListPodSandboxResponse>(&[]), None);
    }

    fn framed(message: &impl Message) -> Vec<u8> {
        let bytes = message.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend(&bytes);
        body
    }

    fn usage(mountpoint: &str, used: Option<u64>) -> FilesystemUsage {
        FilesystemUsage {
            timestamp: 1_767_225_607_123_456_789,
            fs_id: Some(FilesystemIdentifier { mountpoint: mountpoint.into() }),
            used_bytes: used.map(|value| UInt64Value { value }),
            inodes_used: None,
        }
    }

    #[test]
    fn what_images_take() {
        let of = |images: Vec<FilesystemUsage>, containers: Vec<FilesystemUsage>| {
            store_of(&framed(&ImageFsInfoResponse {
                image_filesystems: images,
                container_filesystems: containers,
            }))
        };
        let told = |mountpoint: &str, bytes| StoreUse {
            mountpoint: PathBuf::from(mountpoint),
            bytes,
            inodes: None,
            unix_ms: 1_767_225_607_123,
        };
        let images = told("/var/lib/containerd/x", Some(700));
        assert_eq!(
            of(vec![usage("/var/lib/containerd/x", Some(700))], vec![]),
            Some(Store { images: images.clone(), containers: None })
        );
        assert_eq!(
            of(vec![usage("/var/lib/containerd/x", Some(700))], vec![usage("/layers", None)]),
            Some(Store { images, containers: Some(told("/layers", None)) })
        );
        assert_eq!(of(vec![], vec![]), None);
        assert_eq!(of(vec![usage("", Some(1))], vec![]), None, "nowhere");
        assert_eq!(store_of(b"x"), None);
    }

    #[test]
    fn what_layers_take() {
        let stats = |id: &str, layer: Option<FilesystemUsage>| ContainerStats {
            attributes: Some(ContainerAttributes { id: id.to_owned() }),
            writable_layer: layer,
        };
        let answer = ListContainerStatsResponse {
            stats: vec![
                stats("a", Some(usage("/var/lib/containerd/zfs", Some(700)))),
                stats("b", None),
                ContainerStats { attributes: None, ..stats("c", Some(usage("/x", Some(1)))) },
            ],
        };
        let found = layers_of(&framed(&answer)).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found["a"].bytes, found["a"].unix_ms), (Some(700), 1_767_225_607_123));
        assert_eq!(layers_of(b"x"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("runtime.sock");
        // Connections are made, and nobody ever says a word.
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = names(&socket).await.unwrap_err();
        assert!(matches!(error, CriError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("runtime.sock: no answer for 2 s"), "{error}");
        let missing = names(&folder.path().join("missing.sock")).await.unwrap_err();
        assert!(matches!(missing, CriError::Io { .. }), "{missing}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (message::<ListPodSandboxResponse>(&body), message::<ListContainersResponse>(&body));
            let _ = store_of(&body);
        }
    }
}

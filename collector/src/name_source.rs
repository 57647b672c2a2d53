//! Where names come from, and when they are asked for.
//!
//! The runtime's socket and the kubelet's links are asked when the sweep finds groups without a name, a few times with
//! growing pauses, since a name can come a moment after the group; at rest they are not asked at all. The API server is
//! watched: one watch per node for as long as the collector runs.

use crate::cri;
use crate::error::CollectorError;
use crate::log_folders::LogFolders;
use crate::names::{NameTable, Names};
use crate::watch;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Pauses before each question about new groups.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_500),
    Duration::from_secs(8),
    Duration::from_secs(30),
];

/// One source of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameSource {
    /// The container runtime; `None` looks for the usual sockets.
    Cri(Option<PathBuf>),
    /// The kubelet's links to logs.
    Logs(LogFolders),
    /// A watch of this node's pods at the API server.
    ApiServer,
}

impl FromStr for NameSource {
    type Err = CollectorError;

    /// `cri`, `cri=SOCKET`, `logs` or `api`.
    fn from_str(text: &str) -> Result<NameSource, CollectorError> {
        match text.split_once('=') {
            None if text == "cri" => Ok(NameSource::Cri(None)),
            Some(("cri", socket)) if socket.starts_with('/') => {
                Ok(NameSource::Cri(Some(PathBuf::from(socket))))
            }
            None if text == "logs" => Ok(NameSource::Logs(LogFolders::default())),
            None if text == "api" => Ok(NameSource::ApiServer),
            _ => Err(CollectorError::Invalid {
                setting: "names",
                reason: format!("must be cri, cri=/SOCKET, logs or api, not {text:?}"),
            }),
        }
    }
}

impl fmt::Display for NameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameSource::Cri(None) => f.write_str("container runtime"),
            NameSource::Cri(Some(socket)) => write!(f, "container runtime at {}", socket.display()),
            NameSource::Logs(folders) => write!(f, "links in {}", folders.containers.display()),
            NameSource::ApiServer => f.write_str("watch of this node's pods"),
        }
    }
}

/// The first source that is there on this machine. The API server is there where there is a client for it.
pub fn first_usable(sources: &[NameSource], has_client: bool) -> Option<NameSource> {
    sources.iter().find_map(|source| match source {
        NameSource::Cri(None) => cri::usual_socket().map(|socket| NameSource::Cri(Some(socket))),
        NameSource::Cri(Some(socket)) => cri::can_be_asked(socket).then(|| source.clone()),
        NameSource::Logs(folders) => folders.can_be_read().then(|| source.clone()),
        NameSource::ApiServer => has_client.then_some(NameSource::ApiServer),
    })
}

/// Keeps `names` filled from a source for as long as it is polled. `failed` is told of each error.
pub async fn follow(
    source: &NameSource,
    client: Option<kube::Client>,
    node_name: &str,
    names: &Names,
    mut failed: impl FnMut(),
) {
    match (source, client) {
        (NameSource::ApiServer, Some(client)) => watch::watch_pods(client, node_name, names, failed).await,
        (NameSource::ApiServer, None) => {}
        (asked, _) => loop {
            names.wanted().await;
            for pause in PAUSES {
                tokio::time::sleep(pause).await;
                match ask(asked).await {
                    Ok(table) => names.publish(table),
                    Err(reason) => {
                        tracing::warn!(reason, source = %asked, "names cannot be read, trying again");
                        failed();
                    }
                }
            }
        },
    }
}

async fn ask(source: &NameSource) -> Result<NameTable, String> {
    match source {
        NameSource::Cri(Some(socket)) => cri::names(socket).await.map_err(|error| error.to_string()),
        NameSource::Logs(folders) => {
            let folders = folders.clone();
            let listed = tokio::task::spawn_blocking(move || folders.names()).await;
            listed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        }
        // Settled before: see `first_usable`.
        NameSource::Cri(None) | NameSource::ApiServer => Ok(NameTable::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_by_name() {
        assert_eq!("cri".parse::<NameSource>().unwrap(), NameSource::Cri(None));
        let socket = NameSource::Cri(Some(PathBuf::from("/run/x.sock")));
        assert_eq!("cri=/run/x.sock".parse::<NameSource>().unwrap(), socket);
        assert_eq!("api".parse::<NameSource>().unwrap(), NameSource::ApiServer);
        for wrong in ["", "kubelet", "cri=run", "logs=/x"] {
            assert!(wrong.parse::<NameSource>().unwrap_err().to_string().contains("must be cri"), "{wrong}");
        }
    }

    #[test]
    fn the_first_that_is_there_is_taken() {
        let missing = NameSource::Cri(Some(PathBuf::from("/nowhere/runtime.sock")));
        let folders = LogFolders { containers: "/nowhere/c".into(), pods: "/nowhere/p".into() };
        let sources = [missing, NameSource::Logs(folders), NameSource::ApiServer];
        assert_eq!(first_usable(&sources, true), Some(NameSource::ApiServer));
        assert_eq!(first_usable(&sources, false), None);
    }
}

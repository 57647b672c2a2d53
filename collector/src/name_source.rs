//! Where names come from, and when they are asked for.
//!
//! Sources that are asked (the runtime's socket, the kubelet's links to logs, the kubelet itself) are asked when the sweep
//! finds groups without a name, a few times with growing pauses, since a name can come a moment after the group; at rest
//! they are not asked at all. The first that answers is taken; one that fails or hangs is passed over, and tried again with
//! the next question. The API server is watched instead, one watch per node for as long as the collector runs, and only
//! where it is named among the sources and no source before it answers.

use crate::cri;
use crate::error::CollectorError;
use crate::kubelet_pods::{self, KubeletAddress};
use crate::log_folders::LogFolders;
use crate::names::{NameTable, Names};
use crate::watch;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Pauses before each question about new groups.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_500),
    Duration::from_secs(8),
];
/// Pause between questions as long as a container has no name or nobody answers.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(30);
/// Least time between two questions, however many groups come.
const LEAST_PAUSE: Duration = Duration::from_millis(200);

/// One source of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameSource {
    /// The container runtime; `None` looks for the usual sockets.
    Cri(Option<PathBuf>),
    /// The kubelet's links to logs.
    Logs(LogFolders),
    /// The kubelet's list of its pods.
    Kubelet(KubeletAddress),
    /// A watch of this node's pods at the API server.
    ApiServer,
}

impl FromStr for NameSource {
    type Err = CollectorError;

    /// `cri`, `cri=SOCKET`, `logs`, `kubelet`, `kubelet=HOST:PORT` or `api`.
    fn from_str(text: &str) -> Result<NameSource, CollectorError> {
        match text.split_once('=') {
            None if text == "cri" => Ok(NameSource::Cri(None)),
            Some(("cri", socket)) if socket.starts_with('/') => {
                Ok(NameSource::Cri(Some(PathBuf::from(socket))))
            }
            None if text == "logs" => Ok(NameSource::Logs(LogFolders::default())),
            None if text == "kubelet" => Ok(NameSource::Kubelet(KubeletAddress::default())),
            Some(("kubelet", address)) => address.parse().map(NameSource::Kubelet),
            None if text == "api" => Ok(NameSource::ApiServer),
            _ => Err(CollectorError::Invalid {
                setting: "names",
                reason: format!(
                    "must be cri, cri=/SOCKET, logs, kubelet, kubelet=HOST:PORT or api, not {text:?}"
                ),
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
            NameSource::Kubelet(address) => write!(f, "pods of the kubelet at {address}"),
            NameSource::ApiServer => f.write_str("watch of this node's pods"),
        }
    }
}

/// How the two that are servers are reached.
#[derive(Clone, Default)]
pub struct Clients {
    /// The API server.
    pub api: Option<kube::Client>,
    /// The kubelet; its address is in the source.
    pub kubelet: Option<kube::Client>,
}

/// Is told how asking goes.
pub trait Observer {
    /// A source failed once.
    fn failed(&mut self);
    /// So many watches are kept at the API server now.
    fn watches(&mut self, count: usize);
    /// This source gave names, other than the last one that did.
    fn answered(&mut self, source: &NameSource);
}

/// Keeps `names` filled for as long as it is polled.
pub async fn follow(
    sources: &[NameSource],
    clients: &Clients,
    node_name: &str,
    names: &Names,
    observer: &mut impl Observer,
) {
    let is_watch = |source: &NameSource| *source == NameSource::ApiServer;
    let (before, watched) = match sources.iter().position(is_watch) {
        Some(at) => (&sources[..at], clients.api.clone()),
        None => (sources, None),
    };
    observer.watches(0);
    if !before.is_empty() {
        let ask = |source: NameSource| {
            let kubelet = clients.kubelet.clone();
            async move { ask(&source, kubelet).await }
        };
        follow_asked(before, names, ask, watched.is_some(), observer).await;
    }
    let Some(client) = watched else { return };
    observer.watches(1);
    observer.answered(&NameSource::ApiServer);
    watch::watch_pods(client, node_name, names, || observer.failed()).await;
}

/// Asks whenever names are wanted. Ends only when none of the sources answers and there is something else to try.
async fn follow_asked<A>(
    sources: &[NameSource],
    names: &Names,
    ask: impl Fn(NameSource) -> A,
    there_is_another: bool,
    observer: &mut impl Observer,
) where
    A: Future<Output = Result<NameTable, String>>,
{
    let mut last: Option<usize> = None;
    // As a runtime is often started after this program, and answers late.
    let mut tries_left = PAUSES.len();
    // A lasting failure is logged once.
    let mut is_silent = false;
    loop {
        names.wanted().await;
        let mut pauses = PAUSES.into_iter();
        let mut asked = Instant::now() - LEAST_PAUSE;
        let mut answered = true;
        while let Some(pause) = pauses.next().or_else(|| {
            let goes_on = !answered || names.unnamed() > 0;
            goes_on.then_some(UNANSWERED_PAUSE)
        }) {
            tokio::select! {
                // More groups came: their names come as fast as those of the first.
                () = names.wanted() => pauses = PAUSES.into_iter(),
                () = sleep_until(Instant::now() + pause) => {}
            }
            sleep_until(asked + LEAST_PAUSE).await;
            let found = first_answer(sources, &ask, observer).await;
            asked = Instant::now();
            answered = found.is_some();
            if !answered && !std::mem::replace(&mut is_silent, true) {
                tracing::warn!("no source of names answers: {}", list(sources));
            }
            match found {
                Some((at, table)) => {
                    if last.replace(at) != Some(at) {
                        observer.answered(&sources[at]);
                    } else if is_silent {
                        tracing::info!(source = %sources[at], "a source of names answers again");
                    }
                    is_silent = false;
                    names.publish(table);
                }
                None if last.is_none() && there_is_another => {
                    tries_left -= 1;
                    if tries_left == 0 {
                        return;
                    }
                }
                None => {}
            }
        }
    }
}

/// The first source that answers, and its names.
async fn first_answer<A>(
    sources: &[NameSource],
    ask: &impl Fn(NameSource) -> A,
    observer: &mut impl Observer,
) -> Option<(usize, NameTable)>
where
    A: Future<Output = Result<NameTable, String>>,
{
    for (at, source) in sources.iter().enumerate() {
        match ask(source.clone()).await {
            Ok(table) => return Some((at, table)),
            Err(reason) => {
                tracing::debug!(reason, %source, "names cannot be read");
                observer.failed();
            }
        }
    }
    None
}

/// For people.
pub fn list(sources: &[NameSource]) -> String {
    sources.iter().map(NameSource::to_string).collect::<Vec<_>>().join(", ")
}

async fn ask(source: &NameSource, kubelet: Option<kube::Client>) -> Result<NameTable, String> {
    match source {
        NameSource::Cri(Some(socket)) => cri::names(socket).await.map_err(|error| error.to_string()),
        NameSource::Cri(None) => cri::usual_names().await.map_err(|error| error.to_string()),
        NameSource::Logs(folders) => {
            let folders = folders.clone();
            let listed = tokio::task::spawn_blocking(move || folders.names()).await;
            listed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        }
        NameSource::Kubelet(_) => match kubelet {
            Some(client) => kubelet_pods::names(&client).await,
            None => Err("there is nothing to reach a kubelet with".to_owned()),
        },
        // Watched, not asked.
        NameSource::ApiServer => Err("the API server is watched".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{PodFacts, PodName};
    use std::cell::RefCell;
    use std::time::Duration;

    #[test]
    fn sources_by_name() {
        assert_eq!("cri".parse::<NameSource>().unwrap(), NameSource::Cri(None));
        let socket = NameSource::Cri(Some(PathBuf::from("/run/x.sock")));
        assert_eq!("cri=/run/x.sock".parse::<NameSource>().unwrap(), socket);
        assert_eq!("api".parse::<NameSource>().unwrap(), NameSource::ApiServer);
        let kubelet = "kubelet=10.0.0.7:10250".parse::<NameSource>().unwrap();
        assert_eq!(kubelet.to_string(), "pods of the kubelet at 10.0.0.7:10250");
        assert_eq!(
            "kubelet".parse::<NameSource>().unwrap().to_string(),
            "pods of the kubelet at 127.0.0.1:10250"
        );
        for wrong in ["", "kubelets", "cri=run", "logs=/x", "api=x"] {
            assert!(wrong.parse::<NameSource>().unwrap_err().to_string().contains("must be cri"), "{wrong}");
        }
        assert!("kubelet=x".parse::<NameSource>().unwrap_err().to_string().contains("HOST:PORT"));
    }

    #[derive(Default)]
    struct Seen {
        failures: usize,
        answered: Vec<String>,
    }

    impl Observer for &RefCell<Seen> {
        fn failed(&mut self) {
            self.borrow_mut().failures += 1;
        }
        fn watches(&mut self, _: usize) {}
        fn answered(&mut self, source: &NameSource) {
            self.borrow_mut().answered.push(source.to_string());
        }
    }

    fn table(pod: &str) -> NameTable {
        let mut table = NameTable::default();
        table.apply(&PodFacts {
            uid: "uid".to_owned(),
            cgroup_uid: "uid".to_owned(),
            name: PodName { namespace: "shop".to_owned(), pod: pod.to_owned() },
            containers: Vec::new(),
            sandboxes: Vec::new(),
            volumes: None,
        });
        table
    }

    fn cri_and_logs() -> [NameSource; 2] {
        [NameSource::Cri(None), NameSource::Logs(LogFolders::default())]
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_passed_over_and_taken_again() {
        let (names, seen, started) = (Names::default(), RefCell::new(Seen::default()), Instant::now());
        let ask = |source: NameSource| async move {
            let runtime_is_well = started.elapsed() > Duration::from_secs(60);
            match source {
                NameSource::Cri(_) if !runtime_is_well => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    Err("no answer for 2 s".to_owned())
                }
                NameSource::Cri(_) => Ok(table("of the runtime")),
                _ => Ok(table("of the links")),
            }
        };
        let sources = cri_and_logs();
        let mut observer = &seen;
        let following = follow_asked(&sources, &names, ask, false, &mut observer);
        names.want();
        names.set_unnamed(1);
        let pod = || names.table().pod("uid").map(|name| name.pod.clone());
        let outcome = tokio::time::timeout(Duration::from_secs(3), following).await;
        assert!(outcome.is_err() && pod().as_deref() == Some("of the links"), "{:?}", pod());
        let mut observer = &seen;
        let following = follow_asked(&sources, &names, ask, false, &mut observer);
        names.want();
        assert!(tokio::time::timeout(Duration::from_secs(120), following).await.is_err());
        assert_eq!(pod().as_deref(), Some("of the runtime"), "asked again, for one is still without a name");
        let seen = seen.borrow();
        assert!(seen.failures > 1 && seen.answered.len() == 3, "{:?}", seen.answered);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_without_an_answer_keeps_the_names_and_asks_on() {
        let (names, seen, started) = (Names::default(), RefCell::new(Seen::default()), Instant::now());
        names.publish(table("known"));
        let asked = RefCell::new(0);
        let ask = |_: NameSource| {
            *asked.borrow_mut() += 1;
            async move {
                match started.elapsed() < Duration::from_secs(3_600) {
                    true => Err("away".to_owned()),
                    false => Ok(table("new")),
                }
            }
        };
        let sources = cri_and_logs();
        let mut observer = &seen;
        let following = follow_asked(&sources, &names, ask, false, &mut observer);
        names.want();
        let pod = || names.table().pod("uid").map(|name| name.pod.clone());
        tokio::select! {
            () = following => panic!("it goes on for ever"),
            () = async {
                tokio::time::sleep(Duration::from_secs(3_590)).await;
                assert_eq!(pod().as_deref(), Some("known"));
                assert!((100..400).contains(&*asked.borrow()), "{} questions to two sources", asked.borrow());
                tokio::time::sleep(Duration::from_secs(60)).await;
            } => {}
        }
        assert_eq!(pod().as_deref(), Some("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_answers_the_next_kind_gets_its_turn_and_rest_is_silent() {
        let (names, seen) = (Names::default(), RefCell::new(Seen::default()));
        names.want();
        let sources = cri_and_logs();
        let mut observer = &seen;
        let nobody = |_: NameSource| async { Err("not there".to_owned()) };
        let ended = tokio::time::timeout(
            Duration::from_secs(60),
            follow_asked(&sources, &names, nobody, true, &mut observer),
        );
        assert!(ended.await.is_ok());
        let asked = RefCell::new(0);
        let ask = |_: NameSource| {
            *asked.borrow_mut() += 1;
            async { Ok(table("x")) }
        };
        names.want();
        let mut observer = &seen;
        let following = follow_asked(&sources, &names, ask, true, &mut observer);
        assert!(tokio::time::timeout(Duration::from_secs(7_200), following).await.is_err());
        assert_eq!(*asked.borrow(), PAUSES.len(), "two hours without new groups");
    }
}

//! The adapter as a process of its own: this program again, told where the backend is.

#![allow(clippy::disallowed_methods, reason = "starts a process, listens, writes a file")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flyball_adapter::backends::HttpSettings;
use flyball_adapter::cluster::Cluster;
use flyball_adapter::sources::{Names, SourceKind, SourceSettings};
use flyball_adapter::{Adapter, ServerSettings, Settings, run};
use flyball_apiserver::delegation::Flags;
use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::standard::VersionInfo;
use flyball_apiserver::{AllowedPaths, DenyAnonymous, Generic, TokenVerifier, User};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{INTERVAL, NAMESPACES, PODS, RULES};

/// The token that clients show.
pub(super) const TOKEN: &str = "autoscaler";
const PATIENCE: Duration = Duration::from_secs(60);

/// The adapter that runs. Dropping it ends it.
pub(super) struct Child {
    process: tokio::process::Child,
    pid: u32,
    url: String,
}

impl Child {
    pub(super) async fn start(program: &Path, backend: &str) -> anyhow::Result<Child> {
        let mut process = tokio::process::Command::new(program)
            .args(["--serve", backend])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the adapter cannot be started")?;
        let pid = process.id().context("the adapter has ended")?;
        let out = process.stdout.take().context("the adapter says nothing")?;
        let mut lines = BufReader::new(out).lines();
        let url =
            tokio::time::timeout(PATIENCE, lines.next_line()).await??.context("the adapter has ended")?;
        Ok(Child { process, pid, url })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// A client as the autoscaler's.
    pub(super) fn client(&self) -> anyhow::Result<kube::Client> {
        let mut config = kube::Config::new(self.url.parse()?);
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(TOKEN.to_owned().into());
        Ok(kube::Client::try_from(config)?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its id stays its own until it has been waited for.
        if let Err(error) = self.process.start_kill() {
            eprintln!("the adapter cannot be ended: {error}");
        }
    }
}

struct OneToken;

impl TokenVerifier for OneToken {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<User>, String>> {
        let user = (token == TOKEN).then(|| User::new(TOKEN, ["system:serviceaccounts"]));
        Box::pin(std::future::ready(Ok(user)))
    }
}

/// A configuration as prometheus-adapter's users have it: one rule for each metric.
fn config() -> String {
    let rule = |number: usize| {
        format!(
            "- seriesQuery: '{{__name__=\"m{number}_total\",namespace!=\"\",pod!=\"\"}}'\n  \
             resources: {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: pod}}}}}}\n  \
             name: {{matches: '^(.*)_total$', as: '${{1}}_per_second'}}\n  \
             metricsQuery: 'sum(rate(<<.Series>>{{<<.LabelMatchers>>}}[2m])) by (<<.GroupBy>>)'\n"
        )
    };
    format!("rules:\n{}", (0..RULES).map(rule).collect::<String>())
}

/// Serves until it is killed; prints its address when it is ready.
///
/// # Errors
/// The adapter cannot be set up.
pub async fn serve(backend: &str) -> anyhow::Result<()> {
    // As the program does.
    tokio::spawn(flyball_apiserver::heap::keep_small());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, config())?;
    let cluster = Arc::new(Cluster::default());
    for namespace in 0..NAMESPACES {
        for pod in 0..PODS {
            let labels = BTreeMap::from([("app".to_owned(), format!("app-{namespace}"))]);
            cluster.set_pod(&format!("ns-{namespace}"), &format!("app-7d4f9c6b5d-{pod:05}"), labels);
        }
    }
    let mut http = HttpSettings::new(backend)?;
    http.scrape_interval = INTERVAL;
    let kind = SourceKind::Prometheus { http: Box::new(http), automatic: None };
    let sources = vec![SourceSettings { name: "backend".to_owned(), kind, metrics: Names::default() }];
    let settings = Settings { sources, config: Some(path), ..Settings::default() };
    let adapter = Adapter::new(settings, cluster, OwnMetrics::new())?;
    adapter.look_once().await;
    let generic = Generic {
        authentication: Flags { skip_lookup: true, tokens: Some(Arc::new(OneToken)), ..Flags::default() },
        authorizer: Some(Arc::new(DenyAnonymous { always_allow: AllowedPaths::default() })),
        ..Generic::default()
    };
    let server = ServerSettings { generic, version: VersionInfo::new(1, 34, "") };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("https://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    // Nobody is there: pods are given, and the kinds are those that every cluster has.
    let mut config = kube::Config::new("http://127.0.0.1:1".parse()?);
    config.default_retry = false;
    let nobody = kube::Client::try_from(config)?;
    Ok(run(adapter, server, nobody, listener, CancellationToken::new()).await?)
}

//! An API server in this process, and kubectl to talk to it.
#![allow(dead_code, reason = "each test file uses its part of this module")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use flyball_apiserver::own_metrics::OwnMetrics;
use flyball_apiserver::probes::Probes;
use flyball_local::auth::{Identity, kubeconfig};
use flyball_local::registry::Registry;
use flyball_local::rest::logs::NoLogs;
use flyball_local::rest::{ApiServer, ApiServerParts};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A running API server without controllers and runtime.
pub struct Cluster {
    pub registry: Registry,
    pub identity: Arc<Identity>,
    pub address: SocketAddr,
    pub server: Arc<ApiServer>,
    dir: TempDir,
    shutdown: CancellationToken,
}

impl Cluster {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&dir.path().join("data")).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Arc::new(Identity::open(dir.path(), address.ip()).unwrap());
        let metrics = OwnMetrics::new();
        let server = ApiServer::new(ApiServerParts {
            registry: registry.clone(),
            identity: identity.clone(),
            logs: Arc::new(NoLogs),
            address,
            probes: Probes::new(),
            metrics: metrics.clone(),
            commit: String::new(),
        })
        .unwrap();
        kubeconfig::write(&dir.path().join("kubeconfig"), &identity, address).unwrap();
        let shutdown = CancellationToken::new();
        let serving = flyball_apiserver::serve(listener, server.server(&metrics).unwrap(), shutdown.clone());
        tokio::spawn(async move { serving.await.unwrap() });
        let (background, stop) = (server.clone(), shutdown.clone());
        tokio::spawn(async move { background.run(stop).await });
        Self { registry, identity, address, server, dir, shutdown }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// A client with the admin's certificate.
    pub fn client(&self) -> kube::Client {
        let text = kubeconfig::text(&self.identity, self.address);
        let config: kube::config::Kubeconfig = serde_json::from_str(&text).unwrap();
        let mut config = kube::Config::try_from(config).unwrap();
        config.default_namespace = "default".to_owned();
        // A 503 is an answer these tests want to see.
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments).env("HOME", self.dir.path());
        command
    }

    /// Runs kubectl without holding up the server. Returns whether it succeeded, and both outputs.
    pub async fn try_kubectl(&self, arguments: &[&str], input: &str) -> (bool, String, String) {
        let mut command = self.command(arguments);
        let input = input.to_owned();
        let output: Output = tokio::task::spawn_blocking(move || {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        })
        .await
        .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// Runs kubectl; it must succeed and must not complain. Returns its output.
    #[track_caller]
    pub fn kubectl<'a>(
        &'a self,
        arguments: &'a [&'a str],
        input: &'a str,
    ) -> impl Future<Output = String> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let (success, stdout, stderr) = self.try_kubectl(arguments, input).await;
            assert!(success && stderr.is_empty(), "{caller}: kubectl {arguments:?}\n{stdout}{stderr}");
            stdout
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Whether kubectl is there; says so when it is not.
pub fn has_kubectl(test: &str) -> bool {
    let found = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if !found {
        eprintln!("SKIPPED {test}: kubectl is not installed");
    }
    found
}

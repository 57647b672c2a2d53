//! The API server behind the containers: `flyball local`, and kubectl to ask it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::container::eventually;
use super::root;

/// Where the API server listens; nothing else does in this network namespace.
const ADDRESS: (&str, u16) = ("127.0.0.1", 16443);

/// A running one-machine cluster; ended when dropped.
pub struct Cluster {
    /// Host and port of its API server.
    pub address: (&'static str, u16),
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// PEM certificate of its authority.
    pub ca: String,
    /// Name of its only node.
    pub node: String,
    child: Child,
}

impl Cluster {
    /// Starts `program local` with its files below `folder`.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Cluster> {
        let state = folder.join("local");
        let log = folder.join("local.log");
        let output = File::create(&log)?;
        let (host, port) = ADDRESS;
        let child = Command::new(program)
            .args(["local", "--listen", &format!("{host}:{port}"), "--dir"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start flyball local")?;
        let kubeconfig = state.join("kubeconfig");
        let mut cluster =
            Cluster { address: ADDRESS, kubeconfig, ca: String::new(), node: String::new(), child };
        let names = ["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"];
        let node = eventually("flyball local with a node", || {
            let name = kubectl(&cluster.kubeconfig, &names)?;
            if name.is_empty() { Err(anyhow!("no node yet")) } else { Ok(name) }
        });
        cluster.node = node.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        let map = ["get", "configmap", "-n", "kube-system", "extension-apiserver-authentication"];
        let field = ["-o", "jsonpath={.data.client-ca-file}"];
        cluster.ca = kubectl(&cluster.kubeconfig, &[&map[..], &field[..]].concat())?;
        Ok(cluster)
    }

    /// Creates or changes an object.
    pub fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start kubectl")?;
        if let Some(input) = &mut child.stdin {
            input.write_all(object.to_string().as_bytes())?;
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("kubectl apply of {} {} ended with {status}", object["kind"], object["metadata"]["name"]);
        }
        Ok(())
    }

    /// A token of a service account.
    pub fn token(&self, namespace: &str, account: &str) -> anyhow::Result<String> {
        kubectl(&self.kubeconfig, &["create", "token", account, "-n", namespace])
    }

    /// The kubeconfig with the API server under another name; its certificate is still checked as `localhost`'s.
    pub fn kubeconfig_by_name(&self, name: &str) -> anyhow::Result<Value> {
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&self.kubeconfig)?)?;
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = json!(format!("https://{name}:{}", self.address.1));
        cluster["tls-server-name"] = json!("localhost");
        Ok(config)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGTERM, so that it stops its pods and removes its control groups.
        let id = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &id]).status());
        drop(self.child.wait());
    }
}

/// The objects of an overlay, as `kubectl apply -k` would send them.
pub fn built(overlay: &str) -> anyhow::Result<Vec<Value>> {
    let folder = root().join("deploy/overlays").join(overlay);
    let output =
        Command::new("kubectl").arg("kustomize").arg(&folder).output().context("cannot start kubectl")?;
    if !output.status.success() {
        bail!("kubectl kustomize {}: {}", folder.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("manifests are no UTF-8")?;
    text.split("\n---\n").map(|one| serde_saphyr::from_str(one).context("a manifest is no YAML")).collect()
}

/// Runs kubectl as the administrator; what it printed.
pub fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    printed(Command::new("kubectl").arg("--kubeconfig").arg(kubeconfig).args(arguments))
}

/// GET of a path of any server, whose certificate is not checked.
pub fn kubectl_at(server: &str, token: Option<&str>, path: &str) -> anyhow::Result<String> {
    let mut command = Command::new("kubectl");
    command.args([
        "--kubeconfig=/dev/null",
        "--insecure-skip-tls-verify",
        "--request-timeout=5s",
        "--server",
        server,
    ]);
    match token {
        Some(token) => command.args(["--token", token]),
        // Without credentials of any kind kubectl asks at the terminal. These are of a kind that no part takes, so it is
        // as if there were none.
        None => command.args(["--username=nobody", "--password=none"]),
    };
    printed(command.args(["get", "--raw", path]))
}

fn printed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().context("cannot start kubectl")?;
    if !output.status.success() {
        bail!("kubectl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

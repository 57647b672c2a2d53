//! Asking a cluster: a client from kubectl's settings, and the few requests the commands make.

use anyhow::{Context, bail};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use crate::flags::{ClusterArgs, ClusterFlags};

impl From<&ClusterFlags> for ClusterArgs {
    fn from(flags: &ClusterFlags) -> Self {
        Self {
            kubeconfig: flags.kubeconfig.clone(),
            context: flags.context.clone(),
            namespace: flags.namespace.clone(),
        }
    }
}

/// The settings kubectl would use: `--kubeconfig`, else KUBECONFIG and ~/.kube/config, else the pod's own.
///
/// # Errors
/// When none of them gives a usable configuration.
pub async fn config(args: &ClusterArgs) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .with_context(|| format!("the kubeconfig {} is not usable", path.display()))?
        }
        None if args.context.is_some() => Config::from_kubeconfig(&options)
            .await
            .with_context(|| format!("no usable context {:?} in the kubeconfig", args.context.as_deref().unwrap_or("")))?,
        None => Config::infer().await.context(
            "no cluster to ask: give --kubeconfig or set KUBECONFIG (`flyball local` prints the path of its own)",
        )?,
    };
    // Who asks decides when to ask again; the library would hold a 503 back for minutes.
    config.default_retry = false;
    if let Some(namespace) = &args.namespace {
        config.default_namespace.clone_from(namespace);
    }
    Ok(config)
}

/// A client and the namespace to ask in.
///
/// # Errors
/// As [`config`], or when the client cannot be built from it.
pub async fn client(flags: &ClusterFlags) -> anyhow::Result<(Client, String)> {
    let config = config(&ClusterArgs::from(flags)).await?;
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config).context("cannot set up a client from the kubeconfig")?, namespace))
}

/// One GET, answered with JSON.
///
/// # Errors
/// The server's Status message, or why it could not be asked.
pub async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    let request = Request::get(path).header(http::header::ACCEPT, "application/json").body(Vec::new())?;
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => {
            let kind = if status.reason.is_empty() { status.code.to_string() } else { status.reason.clone() };
            anyhow::anyhow!("Error from server ({kind}): {}", status.message)
        }
        other => anyhow::Error::new(other).context("cannot reach the API server"),
    })
}

/// The object `name` below `base`, or the list at `base` by `selector`.
///
/// # Errors
/// As [`get`].
pub async fn get_or_list(
    client: &Client,
    base: &str,
    name: Option<&str>,
    selector: Option<&str>,
) -> anyhow::Result<Value> {
    let path = match (name, selector) {
        (Some(name), _) => format!("{base}/{}", encode(name)),
        (None, Some(selector)) => format!("{base}?labelSelector={}", encode(selector)),
        (None, None) => base.to_owned(),
    };
    get(client, &path).await
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The version of metrics.k8s.io to ask: `v1` where it is served, else `v1beta1`, as kubectl chooses.
///
/// # Errors
/// `Metrics API not available` when the group is not served.
pub async fn metrics_version(client: &Client) -> anyhow::Result<&'static str> {
    let groups = get(client, "/apis").await?;
    let empty = Vec::new();
    let served: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter(|group| group["name"] == "metrics.k8s.io")
        .flat_map(|group| group["versions"].as_array().unwrap_or(&empty))
        .filter_map(|version| version["version"].as_str())
        .collect();
    match ["v1", "v1beta1"].into_iter().find(|version| served.contains(version)) {
        Some(version) => Ok(version),
        None => bail!("Metrics API not available"),
    }
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn selectors_are_encoded_whole() {
        assert_eq!(encode("app in (a,b)"), "app%20in%20%28a%2Cb%29");
        assert_eq!(encode("a-b_c.d~e"), "a-b_c.d~e");
    }
}

//! `flyball lint`: the usual mistakes in autoscalers, in manifests or in a cluster.
//!
//! The rules are `flyball_hpa::lint`; here objects are read. From files: every YAML or JSON document in them, lists taken
//! apart. From a cluster: autoscalers, pods, workloads and ScaledObjects of one namespace or of all; what may not be listed
//! is said on standard error and the rules that need it stay silent.

#![allow(clippy::disallowed_methods, reason = "reads manifests")]

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use flyball_hpa::lint::{Finding, lint};
use kube::Client;
use serde_json::Value;

use crate::flags::{LintArgs, Output};
use crate::{output, query};

/// Longest input taken, bytes.
const MAX_INPUT: u64 = 64 << 20;
/// What is read of a cluster: path before and after the namespace.
const RESOURCES: [(&str, &str); 12] = [
    ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    ("/apis/autoscaling.flyball.io/v1", "horizontalpodautoscalers"),
    ("/apis/apps/v1", "deployments"),
    ("/apis/apps/v1", "statefulsets"),
    ("/apis/apps/v1", "replicasets"),
    ("/apis/apps/v1", "daemonsets"),
    ("/apis/batch/v1", "jobs"),
    ("/apis/batch/v1", "cronjobs"),
    ("/api/v1", "replicationcontrollers"),
    ("/api/v1", "pods"),
    ("/api/v1", "limitranges"),
    ("/apis/keda.sh/v1alpha1", "scaledobjects"),
];
/// Kinds that a cluster may well not have.
const OPTIONAL_GROUPS: [&str; 2] = ["/apis/autoscaling.flyball.io/v1", "/apis/keda.sh/v1alpha1"];

/// Looks and prints.
///
/// # Errors
/// One sentence: unreadable input, no cluster, or that there are findings.
pub async fn run(args: LintArgs) -> anyhow::Result<()> {
    let objects = match args.files.is_empty() {
        true => from_cluster(&args).await?,
        false => from_files(&args)?,
    };
    let findings = lint(&objects);
    match args.output {
        Output::Table => {
            let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
            output::text(&lines)?;
        }
        other => output::print(&serde_json::to_value(&findings)?, other)?,
    }
    summary(&findings)
}

fn summary(findings: &[Finding]) -> anyhow::Result<()> {
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        count => bail!("{count} findings"),
    }
}

fn from_files(args: &LintArgs) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in &args.files {
        let text = text(file)?;
        let name = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
        documents(&text, &mut objects).with_context(|| format!("cannot read {name}"))?;
    }
    // As kubectl apply does: the namespace of the command line or the context, where the manifest names none.
    let namespace = args.cluster.namespace.as_deref().unwrap_or("default");
    for object in &mut objects {
        if object["metadata"]["namespace"].is_null() && object["metadata"].is_object() {
            object["metadata"]["namespace"] = namespace.into();
        }
    }
    Ok(objects)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(MAX_INPUT).read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        opened
            .take(MAX_INPUT)
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(text)
}

/// Objects of a YAML stream; JSON is YAML.
fn documents(text: &str, objects: &mut Vec<Value>) -> anyhow::Result<()> {
    for document in split(text) {
        let value: Value = serde_saphyr::from_str(&document).context("it is not YAML or JSON")?;
        if !value.is_object() && !value.is_null() {
            bail!("a document in it is no object of Kubernetes");
        }
        take(value, objects);
    }
    Ok(())
}

/// Documents between lines of three dashes; those without content are left out.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        match (line.trim_end() == "---" || line.starts_with("--- "), documents.last_mut()) {
            (false, Some(last)) => {
                last.push_str(line);
                last.push('\n');
            }
            _ => documents.push(String::new()),
        }
    }
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    documents.retain(|document| document.lines().any(is_content));
    documents
}

/// A list is its items.
fn take(value: Value, objects: &mut Vec<Value>) {
    match value {
        Value::Object(mut list) if list.get("items").is_some_and(Value::is_array) => {
            if let Some(Value::Array(items)) = list.remove("items") {
                items.into_iter().for_each(|item| take(item, objects));
            }
        }
        Value::Object(_) => objects.push(value),
        _ => {}
    }
}

/// The cluster has no such kind, so nothing of it was missed.
fn is_not_there(error: &anyhow::Error) -> bool {
    error.to_string().starts_with("Error from server (NotFound)")
}

async fn from_cluster(args: &LintArgs) -> anyhow::Result<Vec<Value>> {
    let config = query::config(&args.cluster).await?;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).context("cannot set up a client from the kubeconfig")?;
    let mut objects = Vec::new();
    for (base, resource) in RESOURCES {
        let path = match args.all_namespaces {
            true => format!("{base}/{resource}"),
            false => format!("{base}/namespaces/{}/{resource}", query::encode(&namespace)),
        };
        let list = match query::get(&client, &path).await {
            Ok(list) => list,
            Err(error) if (base, resource) == RESOURCES[0] => return Err(error),
            Err(error) if OPTIONAL_GROUPS.contains(&base) || is_not_there(&error) => continue,
            Err(error) => {
                eprintln!("flyball: {resource} are not looked at: {error}");
                continue;
            }
        };
        let (kind, version) = (list["kind"].as_str().unwrap_or_default(), &list["apiVersion"]);
        let kind = kind.trim_end_matches("List").to_owned();
        for item in list["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            // Items of lists go without what the list says already.
            item["kind"] = kind.clone().into();
            item["apiVersion"] = version.clone();
            objects.push(item);
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_no_mistakes() {
        let mut objects = Vec::new();
        documents(include_str!("../../deploy/examples/burn.yaml"), &mut objects).expect("YAML");
        assert_eq!(objects.len(), 3);
        assert!(lint(&objects).is_empty(), "{:?}", lint(&objects));
    }

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "# head\n---\nkind: A\nmetadata: {name: a}\n---\n\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n";
        let mut objects = Vec::new();
        documents(text, &mut objects).expect("YAML");
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        let mut objects = Vec::new();
        documents(r#"{"kind": "D"}"#, &mut objects).expect("JSON is YAML");
        assert_eq!(objects[0]["kind"], "D");
        for wrong in ["kind: [", "some words", "- kind: A"] {
            assert!(documents(wrong, &mut objects).is_err(), "{wrong}");
        }
    }
}

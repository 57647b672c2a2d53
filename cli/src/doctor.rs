//! `flyball doctor kubelets`: the way to each node's kubelet, hop by hop, with what mends the hop that fails.

use anyhow::{Context, bail};
use flyball_model::selector::LabelSelector;
use flyball_scrape::Endpoint;
use flyball_scrape::examine::{Step, examine};
use flyball_scrape::target::Target;
use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::flags::{DoctorKubeletsArgs, Output};
use crate::parts::{kubelet_address, kubelet_endpoint};
use crate::{output, query};

/// Kubelets walked to at a time.
const AT_ONCE: usize = 32;
const USER_AGENT: &str = concat!("flyball-doctor/", env!("CARGO_PKG_VERSION"));

/// One node and the hops to it.
struct Way {
    node: String,
    steps: Vec<Step>,
}

impl Way {
    fn holds(&self) -> bool {
        self.steps.iter().all(|step| step.found.is_ok())
    }
}

/// Walks and prints.
///
/// # Errors
/// A kubelet that cannot be read, a node that does not exist, an API server that cannot be asked.
pub async fn kubelets(args: DoctorKubeletsArgs) -> anyhow::Result<()> {
    let kube = query::config(&args.cluster).await?;
    let endpoint = kubelet_endpoint(&args.kubelets, &kube)?;
    let client = Client::try_from(kube).context("cannot set up a client from the kubeconfig")?;
    let address = kubelet_address(&args.kubelets);
    let targets: Vec<Target> = nodes(&args, client).await?.iter().map(|node| address.target(node)).collect();
    let limit = args.kubelets.kubelet_request_timeout;
    let walk = |target: Target| {
        let endpoint: Endpoint = endpoint.clone();
        async move {
            let steps = examine(&target, &endpoint, USER_AGENT, limit).await;
            Way { node: target.node, steps }
        }
    };
    let ways: Vec<Way> = stream::iter(targets).map(walk).buffered(AT_ONCE).collect().await;
    match args.output {
        Output::Table => output::text(&told(&ways))?,
        other => output::print(&as_json(&ways), other)?,
    }
    match ways.iter().filter(|way| !way.holds()).count() {
        0 => Ok(()),
        failing => bail!("{failing} of {} kubelets cannot be read", ways.len()),
    }
}

/// The nodes that are asked about, sorted by name.
async fn nodes(args: &DoctorKubeletsArgs, client: Client) -> anyhow::Result<Vec<Node>> {
    let selector = LabelSelector::parse(&args.selector)
        .with_context(|| format!("--selector {:?} is not a label selector", args.selector))?;
    let list = Api::<Node>::all(client).list(&Default::default()).await;
    let all = list.context("cannot list the nodes (the account needs list on nodes)")?.items;
    for name in &args.nodes {
        if !all.iter().any(|node| node.name_any() == *name) {
            bail!("there is no node {name}");
        }
    }
    let wanted = |node: &Node| {
        let named = args.nodes.is_empty() || args.nodes.contains(&node.name_any());
        named && selector.matches_map(node.labels())
    };
    let mut nodes: Vec<Node> = all.into_iter().filter(wanted).collect();
    if nodes.is_empty() {
        bail!("there are no such nodes");
    }
    nodes.sort_by_key(|node| node.name_any());
    Ok(nodes)
}

/// The ways for people.
fn told(ways: &[Way]) -> String {
    let mut out = String::new();
    for way in ways {
        out += &format!("{}\n", way.node);
        for step in &way.steps {
            let hop = step.hop.name();
            match &step.found {
                Ok(what) => out += &format!("  ok    {hop:<14}  {what}\n"),
                Err(fault) => {
                    out += &format!("  FAIL  {hop:<14}  {}\n", fault.what);
                    if !fault.fix.is_empty() {
                        out += &format!("        {:<14}  {}\n", "fix:", fault.fix);
                    }
                }
            }
        }
    }
    let good = ways.iter().filter(|way| way.holds()).count();
    out + &format!("{good} of {} kubelets can be read\n", ways.len())
}

/// The ways for programs.
fn as_json(ways: &[Way]) -> Value {
    let step = |step: &Step| match &step.found {
        Ok(what) => json!({"hop": step.hop.name(), "ok": true, "detail": what}),
        Err(fault) => json!({"hop": step.hop.name(), "ok": false, "detail": fault.what, "fix": fault.fix}),
    };
    let way = |way: &Way| {
        let hops: Vec<Value> = way.steps.iter().map(step).collect();
        json!({"node": way.node, "ok": way.holds(), "hops": hops})
    };
    json!({"kubelets": ways.iter().map(way).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_scrape::examine::{Fault, Hop};

    fn ways() -> Vec<Way> {
        let good = |hop, what: &str| Step { hop, found: Ok(what.to_owned()) };
        let fault = Fault { what: "refused".to_owned(), fix: "start it".to_owned() };
        vec![
            Way { node: "n1".to_owned(), steps: vec![good(Hop::Address, "10.0.0.1:10250/metrics/resource")] },
            Way {
                node: "n2".to_owned(),
                steps: vec![good(Hop::Address, "10.0.0.2:10250"), Step { hop: Hop::Tcp, found: Err(fault) }],
            },
        ]
    }

    #[test]
    fn ways_for_people() {
        let expected = "\
n1
  ok    address         10.0.0.1:10250/metrics/resource
n2
  ok    address         10.0.0.2:10250
  FAIL  tcp             refused
        fix:            start it
1 of 2 kubelets can be read
";
        assert_eq!(told(&ways()), expected);
    }

    #[test]
    fn ways_for_programs() {
        let value = as_json(&ways());
        assert_eq!(value["kubelets"][0]["ok"], true);
        let hop = json!({"hop": "tcp", "ok": false, "detail": "refused", "fix": "start it"});
        assert_eq!(value["kubelets"][1]["hops"][1], hop);
    }
}

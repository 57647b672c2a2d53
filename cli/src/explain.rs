//! `flyball explain hpa/NAME`: the last decision about an autoscaler, as `decisions.flyball.io/v1` tells it.
//!
//! It asks the API server, which passes the question on to the autoscaler: a kubeconfig is all that is needed, and the
//! cluster's roles say who may ask (`get decisions.decisions.flyball.io`).

#![allow(clippy::disallowed_methods, reason = "tells ages by this machine's clock")]

use anyhow::Context;
use kube::Client;

use crate::flags::{ExplainArgs, Output};
use crate::{output, query};

/// Asks and prints.
///
/// # Errors
/// One sentence: not served, not allowed, no such autoscaler.
pub async fn run(args: ExplainArgs) -> anyhow::Result<()> {
    let config = query::config(&args.cluster).await?;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).context("cannot set up a client from the kubeconfig")?;
    let (group, version) = (flyball_hpa::decisions::GROUP, flyball_hpa::decisions::VERSION);
    let path = format!(
        "/apis/{group}/{version}/namespaces/{}/decisions/{}",
        query::encode(&namespace),
        query::encode(&args.autoscaler)
    );
    let decision = match query::get(&client, &path).await {
        Ok(decision) => decision,
        Err(error) => {
            let served = query::get(&client, &format!("/apis/{group}/{version}")).await.is_ok();
            return if served { Err(error) } else { Err(error).context(not_served(group)) };
        }
    };
    match args.output {
        Output::Table => {
            let now_ms = jiff::Timestamp::now().as_millisecond();
            output::text(&flyball_hpa::decisions::words(&decision, now_ms))?;
        }
        other => output::print(&decision, other)?,
    }
    Ok(())
}

fn not_served(group: &str) -> String {
    format!("the cluster does not serve {group}: is `flyball hpa` installed with its APIService, and ready?")
}

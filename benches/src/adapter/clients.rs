//! The autoscalers' questions.

#![allow(clippy::disallowed_methods, reason = "a benchmark: reads the clock")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::child::Child;
use super::{NAMESPACES, PODS, RULES};

/// Each autoscaler asks once within an interval, evenly spread; how long each waited.
pub(super) async fn ask(child: &Child, interval: Duration) -> anyhow::Result<Vec<Duration>> {
    let client = child.client()?;
    let began = tokio::time::Instant::now();
    let pause = interval / u32::try_from(NAMESPACES)?;
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..NAMESPACES {
        tokio::time::sleep_until(began + pause * u32::try_from(number)?).await;
        asked.spawn(one(client.clone(), number));
    }
    let mut times = Vec::with_capacity(NAMESPACES);
    while let Some(answer) = asked.join_next().await {
        times.push(answer??);
    }
    tokio::time::sleep_until(began + interval).await;
    Ok(times)
}

async fn one(client: kube::Client, number: usize) -> anyhow::Result<Duration> {
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns-{number}/pods/*/m{}_per_second?labelSelector=app%3Dapp-{number}",
        number % RULES
    );
    let began = Instant::now();
    let request = http::Request::get(&path).body(Vec::new())?;
    let text = client.request_text(request).await.with_context(|| path.clone())?;
    let took = began.elapsed();
    let values = text.matches("\"value\"").count();
    ensure!(values == PODS, "{path}: {values} values: {text:.200}");
    Ok(took)
}

//! `flyball demo`: a one-machine cluster in a temporary folder, the example workload and its HPA, a wave of real load,
//! and a live table of what happens. Ends with a summary; succeeds only if the workload went out and back in.

#![allow(clippy::disallowed_methods, reason = "a command: it starts tasks and looks at the terminal")]

mod load;
mod view;
mod watch;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::load::{LoadMeter, Wave};
use self::view::{Reaction, Row};
use self::watch::{Decisions, Timeline};
use crate::flags::DemoArgs;
use crate::onemachine::OneMachine;
use crate::query;

/// The manifests a user would apply, as they stand in `deploy/examples/`.
const MANIFESTS: &str = include_str!("../../../deploy/examples/burn.yaml");
const NAMESPACE: &str = "default";
const NAME: &str = "burn";
const SELECTOR: &str = "app%3Dburn";
/// Longest wait for the workload to be Ready and measured before the wave.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait after the wave for the workload to come back in.
const BACK_LIMIT: Duration = Duration::from_secs(45);
/// Requests per second in the quiet and in the busy part of the wave; each burns 10 ms of CPU.
const QUIET_PER_SECOND: f64 = 2.0;
const BUSY_PER_SECOND: f64 = 40.0;
/// Decisions that may wait to be looked at.
const OBSERVATIONS: usize = 64;
/// Cells of the progress bar and columns of the chart.
const BAR_WIDTH: usize = 40;
const CHART_WIDTH: usize = 70;

/// Runs the demo until its summary, or until `shutdown`.
pub async fn run(args: DemoArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("flyball-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    println!("starting a one-machine cluster in {}", folder.path().display());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let (observer, observations) = tokio::sync::mpsc::channel(OBSERVATIONS);
    let machine = OneMachine::start(folder.path(), listen, Vec::new(), Some(observer)).await?;
    let decisions = Decisions::follow(observations);
    println!("kubeconfig: {}", machine.kubeconfig().display());
    let outcome = play(&args, &machine, &decisions, &shutdown).await;
    if args.keep && outcome.is_ok() && !shutdown.is_cancelled() {
        println!(
            "\nstill running; try:  kubectl --kubeconfig {} get hpa,pods\nCtrl-C ends it and removes the folder",
            machine.kubeconfig().display()
        );
        shutdown.cancelled().await;
    }
    machine.stop().await;
    folder.close().context("cannot remove the temporary folder")?;
    outcome
}

async fn play(
    args: &DemoArgs,
    machine: &OneMachine,
    decisions: &Decisions,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let client = machine.client();
    apply(client).await?;
    println!("applied deploy/examples/burn.yaml: Deployment, Service and HorizontalPodAutoscaler `burn`");
    let Some(target) = interruptible(shutdown, wait_for_start(client)).await.transpose()? else {
        bail!("interrupted before the load began");
    };
    let wave = Wave {
        total: Duration::from_secs(args.seconds),
        quiet_per_second: QUIET_PER_SECOND,
        busy_per_second: BUSY_PER_SECOND,
    };
    println!(
        "load on {target}: {QUIET_PER_SECOND}/s, from second {} {BUSY_PER_SECOND}/s, from second {} {QUIET_PER_SECOND}/s again; each \
         request burns 10 ms of CPU\nmeasured from: {}\n",
        wave.step_up().as_secs(),
        wave.step_down().as_secs(),
        machine.source(),
    );
    let stop = shutdown.child_token();
    let timeline = Timeline::follow(client, NAMESPACE, NAME, stop.clone());
    let meter = LoadMeter::default();
    let generator = tokio::spawn(load::generate(target, wave, meter.clone(), stop.clone()));
    let finished = table(client, &timeline, decisions, &meter, wave, shutdown).await;
    stop.cancel();
    generator.await.context("the load generator ended early")?;
    if !finished {
        bail!("interrupted before the end of the wave");
    }
    let reaction = Reaction::of(&timeline.points(), wave.step_up());
    println!(
        "\nreplicas over time (# Ready, . asked for):\n{}",
        view::chart(&timeline.points(), timeline.elapsed(), CHART_WIDTH)
    );
    print!("{}", reaction.summary());
    if !reaction.out_and_back() {
        bail!("the workload was not scaled out and back in");
    }
    Ok(())
}

/// `future`, or nothing if `shutdown` comes first.
async fn interruptible<T>(shutdown: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = shutdown.cancelled() => None,
        output = future => Some(output),
    }
}

/// Prints a line a second until the wave is over and the workload is back in; false when interrupted.
async fn table(
    client: &Client,
    timeline: &Timeline,
    decisions: &Decisions,
    meter: &LoadMeter,
    wave: Wave,
    shutdown: &CancellationToken,
) -> bool {
    let live = std::io::stdout().is_terminal();
    println!("{}", view::HEADER);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let before = timeline.last().map_or(1, |point| point.wanted);
    loop {
        if interruptible(shutdown, ticks.tick()).await.is_none() {
            return false;
        }
        let elapsed = timeline.elapsed();
        let now = timeline.last();
        let row = Row {
            elapsed,
            load: meter.take(),
            cpu_millicores: watch::cpu_millicores(client, NAMESPACE, SELECTOR).await,
            ready: now.map_or(0, |point| point.ready),
            wanted: now.map_or(0, |point| point.wanted),
            why: watch::why(client, NAMESPACE, NAME, decisions).await,
        };
        if live {
            // Overwrites the bar with the row, then draws the bar anew below it.
            print!("\r\x1b[2K{}\n{}", view::row(&row), view::progress(elapsed, wave.total, BAR_WIDTH));
            let _ = std::io::stdout().flush();
        } else {
            println!("{}", view::row(&row));
        }
        let back_in = now.is_some_and(|point| point.wanted <= before && point.ready <= before);
        if elapsed >= wave.total && (back_in || elapsed >= wave.total + BACK_LIMIT) {
            if live {
                print!("\r\x1b[2K");
            }
            return true;
        }
    }
}

/// Creates the objects of [`MANIFESTS`].
async fn apply(client: &Client) -> anyhow::Result<()> {
    for document in
        serde_saphyr::from_multiple::<Value>(MANIFESTS).context("the example manifests are not YAML")?
    {
        let base = match document["kind"].as_str() {
            Some("Deployment") => "/apis/apps/v1/namespaces/default/deployments",
            Some("Service") => "/api/v1/namespaces/default/services",
            Some("HorizontalPodAutoscaler") => {
                "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
            }
            other => bail!("the example manifests hold a {other:?}, which the demo does not know"),
        };
        let request = Request::post(base)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(&document)?)?;
        client
            .request::<Value>(request)
            .await
            .with_context(|| format!("cannot create {}", document["kind"]))?;
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: std::net::IpAddr,
    ports: Vec<ServicePort>,
}

#[derive(Debug, Deserialize)]
struct ServicePort {
    port: u16,
}

/// Waits until a pod is Ready and measured; returns the Service's address.
async fn wait_for_start(client: &Client) -> anyhow::Result<SocketAddr> {
    let ready = async {
        loop {
            let deployment =
                query::get(client, &format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"))
                    .await?;
            let ready = deployment.pointer("/status/readyReplicas").and_then(Value::as_i64).unwrap_or(0);
            if ready > 0 && watch::cpu_millicores(client, NAMESPACE, SELECTOR).await.is_some() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    match tokio::time::timeout(START_LIMIT, ready).await {
        Ok(outcome) => outcome?,
        Err(_) => bail!(
            "the example workload was not Ready and measured after {} s; {}",
            START_LIMIT.as_secs(),
            states(client).await
        ),
    }
    let service = query::get(client, &format!("/api/v1/namespaces/{NAMESPACE}/services/{NAME}")).await?;
    let service: Service = serde_json::from_value(service).context("the Service has no address")?;
    let port = service.spec.ports.first().context("the Service has no port")?.port;
    Ok(SocketAddr::new(service.spec.cluster_ip, port))
}

/// What the pods say of themselves, for the message when the start failed.
async fn states(client: &Client) -> String {
    let pods =
        query::get(client, &format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={SELECTOR}")).await;
    match pods {
        Ok(list) => list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pod| {
                let state = pod
                    .pointer("/status/containerStatuses/0/state")
                    .map_or_else(String::new, Value::to_string);
                format!(
                    "pod {}: {} {state}",
                    pod.pointer("/metadata/name").unwrap_or(&Value::Null),
                    pod.pointer("/status/phase").unwrap_or(&Value::Null)
                )
            })
            .collect::<Vec<_>>()
            .join("; "),
        Err(error) => format!("{error:#}"),
    }
}

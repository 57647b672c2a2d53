//! `flyball server`: the metrics server, the history of everything that it scrapes, and custom and external metrics out of
//! that, in one process.

use tokio_util::sync::CancellationToken;

use super::AdapterBeside;
use super::history::HistorySetup;
use super::metrics_server;
use crate::flags::ServerArgs;

/// Runs everything until `shutdown`.
pub async fn server(args: ServerArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let request_timeout = args.metrics_server.limits.request_timeout;
    let mut setup = metrics_server::setup(args.metrics_server).await?;
    setup.adapter = Some(AdapterBeside::of_flags(&args.rules)?);
    setup.history = Some(HistorySetup::of_flags(&args.history, request_timeout, &setup.scrape)?);
    setup.run(shutdown).await
}

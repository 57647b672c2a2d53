//! Row 8: the adapter under the questions of 1,000 autoscalers every 15 s, over a simulated backend of a million series.
//!
//! The adapter is a process of its own (this program again), so that its memory is its own. The backend is a server of a few
//! lines in this process: it holds no series, it writes answers as if it had them, and counts what it is asked. Clients ask over
//! TLS as the API server's aggregator does, spread evenly over the interval; a time is from the request to the end of the
//! answer, in this process.

mod backend;
pub mod chain;
mod child;
mod clients;
pub mod real;

use std::path::Path;
use std::time::Duration;

pub use child::serve;

use crate::Figure;
use crate::process::{cpu_seconds, resident_kb};
use backend::Backend;
use child::Child;

const ROW: &str = "8";
/// Namespaces, each with one autoscaler.
pub const NAMESPACES: usize = 1_000;
/// Pods of each autoscaler.
pub const PODS: usize = 50;
/// Metrics that the backend has of each pod: 20 x 50,000 series.
pub const METRICS: usize = 20;
/// Rules that autoscalers use; each asks for one of them.
pub const RULES: usize = 10;
/// Time between two questions of an autoscaler, and between two scrapes of the backend.
pub const INTERVAL: Duration = Duration::from_secs(15);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Intervals that count; one more goes before them.
    pub intervals: u32,
    /// How long the backend thinks about a query.
    pub latency: Duration,
}

/// Runs it. `program` is this program.
///
/// # Errors
/// The adapter does not start, or answers with an error.
pub async fn figures(program: &Path, plan: Plan) -> anyhow::Result<Vec<Figure>> {
    let backend = Backend::start(plan.latency).await?;
    let child = Child::start(program, backend.url()).await?;
    let pid = child.pid();
    // What is asked together is not known yet; that is a second's matter and not what is promised.
    clients::ask(&child, INTERVAL).await?;
    backend.forget();
    let cpu = cpu_seconds(pid)?;
    let mut times = Vec::new();
    for _ in 0..plan.intervals {
        times.extend(clients::ask(&child, INTERVAL).await?);
    }
    let cpu = (cpu_seconds(pid)? - cpu) / (f64::from(plan.intervals) * INTERVAL.as_secs_f64());
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let resident_mb = resident_kb(pid)? as f64 * 1.024e-3;
    let asked = backend.queries();
    let per_rule = asked as f64 / (RULES as f64 * f64::from(plan.intervals));
    let what = format!(
        "{NAMESPACES} autoscalers of {PODS} pods on {RULES} rules every {} s, backend of {} series that takes {} ms",
        INTERVAL.as_secs(),
        NAMESPACES * PODS * METRICS,
        plan.latency.as_millis()
    );
    let narrow = backend.narrow_queries();
    Ok(vec![
        Figure::new(ROW, format!("list of a metric of 50 pods, p99; {what}"), at(0.99), "ms")
            .promise("≤ 5 ms")
            .beside(format!("p50 {:.2} ms, longest {:.1} ms, {} requests", at(0.5), at(1.0), times.len())),
        Figure::new(ROW, "queries to the backend per rule and interval", per_rule, "queries")
            .promise("≤ 1")
            .beside(format!("{asked} queries, {narrow} of them for one autoscaler alone")),
        Figure::new(ROW, "resident memory of the adapter", resident_mb, "MB").promise("≤ 50 MB").beside(
            format!("{:.1} m CPU; the answer to one query is {:.1} MB", cpu * 1e3, backend.answer_mb()),
        ),
    ])
}

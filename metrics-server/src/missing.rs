//! Why a node or pod has no metrics, as one sentence for the Status message.

use crate::window::NoUsage;

/// The reason. Its text ends the message of a 404.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No batch of the node has come.
    #[error("node {node} has not been scraped yet")]
    NotScraped {
        /// Which node.
        node: String,
    },
    /// All scrapes failed.
    #[error("node {node} has never been scraped with success: {reason}")]
    NeverGood {
        /// Which node.
        node: String,
        /// The last failure.
        reason: String,
    },
    /// The last good scrape is too long ago.
    #[error("the last good scrape of node {node} is {seconds} s ago: {reason}")]
    Stale {
        /// Which node.
        node: String,
        /// Age of the last good scrape.
        seconds: i64,
        /// The last failure.
        reason: String,
    },
    /// The node answers, but leaves its own CPU or memory out.
    #[error("the node's answer lacks its own CPU time or working set")]
    NodeIncomplete,
    /// `--node-selector` leaves the node out.
    #[error("node {node} is not scraped: it does not match --node-selector")]
    NotSelected {
        /// Which node.
        node: String,
    },
    /// No node reports the pod.
    #[error("no node has reported the pod yet")]
    NotReported,
    /// The pod's node answers without it.
    #[error("node {node}, where it runs, answers and has not reported the pod yet")]
    NotReportedBy {
        /// Where the pod runs.
        node: String,
    },
    /// The pod does not run.
    #[error("it is in phase {phase}, and only running pods are measured")]
    NotRunning {
        /// Its phase.
        phase: String,
    },
    /// The pod runs, and the watch of pods does not say so yet.
    #[error("it has only just begun to run")]
    JustRunning,
    /// A container lacks a reading.
    #[error("container {container} has no CPU time or working set in the answer of node {node}")]
    ContainerIncomplete {
        /// Which container.
        container: String,
        /// The node that reports it.
        node: String,
    },
    /// One sample is no rate.
    #[error("usage needs two samples, and there is one so far{}", of(container))]
    OneSample {
        /// Which container; `None` for a node.
        container: Option<String>,
    },
    /// A container that was found running, a moment ago.
    #[error("usage needs ten seconds of samples, and there are fewer so far{}", of(container))]
    ShortWindow {
        /// Which container; `None` for a node.
        container: Option<String>,
    },
    /// The counter or the start time went back.
    #[error("the node's CPU counter went back; the next sample mends it")]
    WentBack,
}

fn of(container: &Option<String>) -> String {
    container.as_ref().map(|name| format!(" of container {name}")).unwrap_or_default()
}

impl From<NoUsage> for Missing {
    fn from(reason: NoUsage) -> Missing {
        match reason {
            NoUsage::OneSample => Missing::OneSample { container: None },
            NoUsage::ShortWindow => Missing::ShortWindow { container: None },
            NoUsage::CounterWentBack | NoUsage::StartWentBack => Missing::WentBack,
        }
    }
}

//! Tables: what `kubectl get` prints, with upstream's columns for each kind. Pure: objects and the time in, cells out.

mod autoscaling;
mod cells;
mod network;
mod pods;
mod simple;
mod workloads;

use std::sync::Arc;

use flyball_apiserver::negotiation::MetaVersion;
use flyball_apiserver::table::{Column, IncludeObject, Table, TableBuilder, WhenEmpty};
use serde_json::Value;

use crate::registry::kinds::Resource;

type Columns = fn() -> Vec<Column>;
/// The object and unix milliseconds of now make one cell per column.
type Cells = fn(&Value, i64) -> Vec<Value>;

/// How one kind is printed.
struct Printer {
    columns: Columns,
    cells: Cells,
}

fn printer(resource: &Resource) -> Printer {
    let (columns, cells): (Columns, Cells) = match resource.kind {
        "Pod" => (pods::columns, pods::cells),
        "Deployment" => (workloads::deployment_columns, workloads::deployment_cells),
        "ReplicaSet" => (workloads::replicaset_columns, workloads::replicaset_cells),
        "Service" => (network::service_columns, network::service_cells),
        "EndpointSlice" => (network::slice_columns, network::slice_cells),
        "HorizontalPodAutoscaler" => (autoscaling::columns, autoscaling::cells),
        "Node" => (simple::node_columns, simple::node_cells),
        "Event" => (simple::event_columns, simple::event_cells),
        "ConfigMap" => (simple::config_columns, simple::config_cells),
        "Secret" => (simple::secret_columns, simple::secret_cells),
        "ServiceAccount" => (simple::account_columns, simple::account_cells),
        "Lease" => (simple::lease_columns, simple::lease_cells),
        "Namespace" => (simple::namespace_columns, simple::namespace_cells),
        "APIService" => (simple::api_service_columns, simple::api_service_cells),
        _ => (simple::plain_columns, simple::plain_cells),
    };
    Printer { columns, cells }
}

/// A table of objects under construction.
pub(super) struct Printed {
    cells: Cells,
    builder: TableBuilder,
    now_ms: i64,
}

impl Printed {
    /// An empty table for a kind; ages are counted to `now_ms`.
    pub(super) fn new(resource: &Resource, now_ms: i64) -> Self {
        let printer = printer(resource);
        let builder = TableBuilder::new((printer.columns)(), WhenEmpty::Columns);
        Self { cells: printer.cells, builder, now_ms }
    }

    /// Adds a row: `stored` makes the cells, `shown` is what the row carries.
    pub(super) fn row(&mut self, stored: &Value, shown: Arc<Value>) {
        let cells = (self.cells)(stored, self.now_ms);
        self.builder.row(cells, shown);
    }

    /// Sets a member of the table's list metadata.
    pub(super) fn metadata(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.builder = self.builder.metadata(key, value);
        self
    }

    /// Leaves the column definitions out: a watch sends them once.
    pub(super) fn without_headers(mut self) -> Self {
        self.builder = self.builder.without_headers();
        self
    }

    /// The finished table.
    pub(super) fn build(self, version: MetaVersion, include: IncludeObject) -> Table {
        self.builder.build(version, include)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds;
    use serde_json::json;

    #[test]
    fn every_kind_has_a_cell_per_column_even_for_an_empty_object() {
        for resource in kinds::ALL {
            let printer = printer(resource);
            let cells = (printer.cells)(&json!({}), 0);
            assert_eq!(cells.len(), (printer.columns)().len(), "{}", resource.kind);
        }
    }
}

//! One instance of a component for one execution.

use wasmtime::component::ResourceTable;

use crate::capability::http::HttpAccess;

/// What the host keeps for one cell, and what its imports work on.
pub(crate) struct CellState {
    /// Outbound HTTP, as the grants of this step type allow it.
    pub(crate) http: HttpAccess,
    pub(crate) table: ResourceTable,
}

//! A component that is ready to make cells: compiled, checked and linked.

mod brevity;
mod description;
mod imports;

use std::sync::Arc;

use stepcell_core::{Digest, catalog::Describe};
use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker},
};

use crate::{
    bindings::exports::stepcell::step::{control, handler},
    cell::CellState,
    machine,
};

pub(crate) use brevity::Brevity;
pub(crate) use description::{DESCRIBE_BYTES_MAX, parse as parse_description};
pub(crate) use imports::Imports;

const HANDLER: &str = "stepcell:step/handler@0.1.0";
const CONTROL: &str = "stepcell:step/control@0.1.0";

/// Why a file is not in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The interface that a component exports.
pub(crate) enum Exports {
    Handler(handler::GuestIndices),
    Control(control::GuestIndices),
}

/// A linked component.
pub(crate) struct Plugin {
    digest: Digest,
    pre: InstancePre<CellState>,
    exports: Exports,
    imports: Imports,
    room: u32,
    brevity: Brevity,
}

impl Plugin {
    /// Checks what the component asks for and links it. Runs nothing of it.
    pub(crate) fn link(
        engine: &Engine,
        linker: &Linker<CellState>,
        component: &Component,
        digest: Digest,
    ) -> Result<Self, Refusal> {
        let imports = Imports::of(component, engine)?;
        let Some(room) = machine::room(component) else {
            return Err(Refusal::new("it imports core modules, which a host can not provide"));
        };
        let pre = linker.instantiate_pre(component).map_err(|error| {
            Refusal::new(format!("it does not fit this host's interfaces: {error:#}"))
                .with_hint("build it again with the SDK of this version")
        })?;
        let exports = exports(&pre)?;
        Ok(Self { digest, pre, exports, imports, room, brevity: Brevity::default() })
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(crate) fn pre(&self) -> &InstancePre<CellState> {
        &self.pre
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    pub(crate) fn imports(&self) -> &Imports {
        &self.imports
    }

    pub(crate) fn is_control(&self) -> bool {
        matches!(self.exports, Exports::Control(_))
    }

    /// What a cell takes of the pool, in cells of the common size.
    pub(crate) fn room(&self) -> u32 {
        self.room
    }

    /// How long its executions took so far.
    pub(crate) fn brevity(&self) -> &Brevity {
        &self.brevity
    }
}

fn exports(pre: &InstancePre<CellState>) -> Result<Exports, Refusal> {
    let has = |name| pre.component().get_export_index(None, name).is_some();
    let unfit = |name: &str, error: wasmtime::Error| {
        Refusal::new(format!("its export `{name}` is not as `wit/step` has it: {error:#}"))
    };
    match (has(HANDLER), has(CONTROL)) {
        (true, false) => {
            handler::GuestIndices::new(pre).map(Exports::Handler).map_err(|error| unfit(HANDLER, error))
        }
        (false, true) => {
            control::GuestIndices::new(pre).map(Exports::Control).map_err(|error| unfit(CONTROL, error))
        }
        (true, true) => Err(Refusal::new(format!("it exports both `{HANDLER}` and `{CONTROL}`"))
            .with_hint("a plugin is one or the other; make two files of it")),
        (false, false) => Err(Refusal::new(format!("it exports neither `{HANDLER}` nor `{CONTROL}`"))
            .with_hint(
                "build it for the world `stepcell:step/step` of wit/step; in Rust, sdk/rust does that",
            )),
    }
}

/// A plugin with its catalog entry.
#[derive(Clone)]
pub(crate) struct Described {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) describe: Arc<Describe>,
}

//! One instance of a component for one execution, and everything the host holds for it.

mod limiter;
mod stop;

use std::sync::Arc;

use wasmtime::{
    Engine, Store, StoreContextMut, UpdateDeadline,
    component::{HasData, ResourceTable},
};

use wasmtime_wasi_http::WasiHttpCtx;

use crate::{
    bindings::stepcell::step::types,
    capability::{Session, wasi_http::FIELDS_BYTES_MAX},
    lanes::{Tick, Turn},
    wasi::{Attempt, Folders, Wasi},
};

pub(crate) use limiter::{Limiter, Refused};
pub(crate) use stop::{Stop, StopReason, Stopped};

/// Resources that a guest may hold at the same time: streams, pollables. Bounds the host's tables.
const RESOURCES_MAX: usize = 1_024;
/// Handles that a guest may hold at the same time, those that it makes for itself included.
const HANDLES_MAX: usize = 10_000;
/// What a guest may hand to the host in one call on top of its largest output: a request with its headers.
const HOSTCALL_BYTES_EXTRA: usize = 32 << 20;

/// What the host keeps for one cell, and what its imports work on.
pub(crate) struct CellState {
    /// What it may reach outside.
    pub(crate) session: Session,
    pub(crate) wasi: Wasi,
    pub(crate) wasi_http: WasiHttpCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limiter: Limiter,
    pub(crate) turn: Arc<Turn>,
}

impl CellState {
    /// A state that limits nothing, for measuring what a call costs by itself.
    pub(crate) fn bare(session: Session, turn: Arc<Turn>) -> Self {
        let wasi = Wasi::new(Attempt::none([0; 32]), Folders::default());
        Self {
            session,
            wasi,
            wasi_http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            limiter: Limiter::new(u64::MAX),
            turn,
        }
    }
}

/// For the linker: `stepcell:step/types` has no functions.
pub(crate) struct Types;

impl HasData for Types {
    type Data<'a> = Types;
}

impl types::Host for Types {}

/// For the linker: where a cell keeps its [`Session`].
pub(crate) struct Outside;

impl HasData for Outside {
    type Data<'a> = &'a mut Session;
}

/// What a new cell is made of.
pub(crate) struct NewCell {
    pub(crate) session: Session,
    pub(crate) attempt: Attempt,
    pub(crate) folders: Folders,
    pub(crate) fuel: u64,
    pub(crate) memory: u64,
    /// The largest result that the guest may return, in bytes.
    pub(crate) output: u64,
    pub(crate) turn: Arc<Turn>,
}

/// A store with every limit of a cell set.
pub(crate) fn store(engine: &Engine, cell: NewCell) -> wasmtime::Result<Store<CellState>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES_MAX);
    let mut wasi_http = WasiHttpCtx::new();
    wasi_http.set_field_size_limit(FIELDS_BYTES_MAX);
    let state = CellState {
        session: cell.session,
        wasi: Wasi::new(cell.attempt, cell.folders),
        wasi_http,
        table,
        limiter: Limiter::new(cell.memory),
        turn: cell.turn,
    };
    let mut store = Store::try_new(engine, state)?;
    store.set_fuel(cell.fuel)?;
    store.set_hostcall_fuel(usize::try_from(cell.output)?.saturating_add(HOSTCALL_BYTES_EXTRA));
    store.set_max_component_handles(HANDLES_MAX);
    store.limiter(|state| &mut state.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(on_tick);
    Ok(store)
}

/// Called within guest code at every tick: stops it, makes it give way, or lets it go on.
fn on_tick(store: StoreContextMut<'_, CellState>) -> wasmtime::Result<UpdateDeadline> {
    let turn = &store.data().turn;
    if let Some(reason) = turn.stop.reason() {
        return Err(Stopped(reason).into());
    }
    Ok(match turn.tick() {
        Tick::GoOn => UpdateDeadline::Continue(1),
        Tick::GiveWay => UpdateDeadline::Yield(1),
    })
}

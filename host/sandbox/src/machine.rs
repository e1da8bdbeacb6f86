//! The wasmtime engine: what guests may use of WebAssembly, and the pool that cells are made from.

use std::num::NonZeroUsize;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
    component::{Component, Linker},
};

use crate::{
    bindings::stepcell,
    capability::wasi_http,
    cell::{CellState, Outside},
    wasi,
};

/// Cells that can be alive at the same time, waiting ones included. Bounds the address space that the pool
/// reserves; a call past it waits in a queue. A component with many memories or tables takes the room of
/// several cells, see [`room`].
pub(crate) const CELLS_MAX: u32 = 1_000;

/// Memories per cell in the pool.
const MEMORIES_PER_CELL: u32 = 2;
/// Tables per cell in the pool. A component from wit-component has two at least: its own and its shim's.
const TABLES_PER_CELL: u32 = 3;
/// Core instances of one component. The Python runner has about 60, one for each of its shared libraries.
const CORE_INSTANCES_MAX: u32 = 200;
/// Memories of one component.
const MEMORIES_MAX: u32 = 32;
/// Tables of one component.
const TABLES_MAX: u32 = 64;
/// Tables and memories of one core module. More than the one that compilers make, for generated modules.
const PER_MODULE_MAX: u32 = 8;
/// Elements of one table, eight bytes each. The Python runner needs nearly all of them.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 200_000;
/// The bookkeeping of one instance, which grows with the functions, globals and tables of a component.
const INSTANCE_BYTES_MAX: usize = 4 << 20;
/// The largest linear memory that WebAssembly has without `memory64`; the limits of an execution are below it.
const MEMORY_BYTES_MAX: usize = 4 << 30;
/// The wasm stack of one cell. Deep recursion ends here, with a trap, instead of in the host's stack.
pub(crate) const STACK_BYTES_MAX: usize = 1 << 20;
/// The stack a cell runs on: the guest's, and room for host calls on top of it.
const FIBER_STACK_BYTES: usize = 2 << 20;
/// Memory that a slot keeps for the next cell instead of giving it back to the system at once. Most steps
/// touch less; more would count towards the idle memory of the process.
const MEMORY_KEEP_BYTES: usize = 1 << 20;
/// The same for a table.
const TABLE_KEEP_BYTES: usize = 64 << 10;
/// Slots that stay bound to a component they served last, so that its image need not be mapped again.
const WARM_SLOTS_MAX: u32 = 16;
/// Frames of a trap's backtrace that are kept; a message shows the topmost of them.
const BACKTRACE_FRAMES_MAX: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// What decides how code is compiled. The compiler's child process uses it as it is.
pub(crate) fn compile_config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES_MAX)
        .async_stack_size(FIBER_STACK_BYTES)
        // The same bits on every machine: a pure step may be recomputed elsewhere.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_features(WasmFeatures::MEMORY64 | WasmFeatures::THREADS, false)
        .wasm_custom_page_sizes(false)
        .memory_init_cow(true)
        // Traps name functions, not addresses, and nothing unwinds through guest frames: both tables would
        // only make the compiled files larger and slower to load.
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES_MAX));
    config
}

/// The engine that runs cells.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = compile_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    Engine::new(&config)
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CELLS_MAX)
        .total_core_instances(CELLS_MAX.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(CELLS_MAX * MEMORIES_PER_CELL)
        .total_tables(CELLS_MAX * TABLES_PER_CELL)
        .total_stacks(CELLS_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(PER_MODULE_MAX)
        .max_memories_per_module(PER_MODULE_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .linear_memory_keep_resident(MEMORY_KEEP_BYTES)
        .table_keep_resident(TABLE_KEEP_BYTES)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// How much of the pool a cell of this component takes, in cells; `None` where that can not be known.
pub(crate) fn room(component: &Component) -> Option<u32> {
    let needed = component.resources_required()?;
    let room =
        needed.num_memories.div_ceil(MEMORIES_PER_CELL).max(needed.num_tables.div_ceil(TABLES_PER_CELL));
    Some(room.clamp(1, CELLS_MAX))
}

/// Everything that a cell can import: WASI, virtual, and one interface for each capability.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CellState>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    wasi_http::add_to_linker(&mut linker)?;
    stepcell::step::types::add_to_linker::<CellState, crate::cell::Types>(&mut linker, |_| {
        crate::cell::Types
    })?;
    stepcell::http::http::add_to_linker::<CellState, Outside>(&mut linker, |state| &mut state.session)?;
    stepcell::database::database::add_to_linker::<CellState, Outside>(&mut linker, |state| {
        &mut state.session
    })?;
    stepcell::secrets::secrets::add_to_linker::<CellState, Outside>(&mut linker, |state| &mut state.session)?;
    stepcell::email::email::add_to_linker::<CellState, Outside>(&mut linker, |state| &mut state.session)?;
    stepcell::blobs::blobs::add_to_linker::<CellState, Outside>(&mut linker, |state| &mut state.session)?;
    Ok(linker)
}

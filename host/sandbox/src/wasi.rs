//! WASI 0.2, virtual: a component that was built for WASI runs, and reaches nothing.
//!
//! Output becomes the step's log, the clock and randomness are functions of the attempt, and there are no
//! sockets, arguments or environment, and no files but those of granted folders. A step that uses it still counts
//! as pure, unless it is granted a folder.

mod clock;
mod files;
mod log;
mod poll;
mod random;

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use stepcell_core::{RunId, StepId};
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliCtx, WasiCliCtxView},
    filesystem::{WasiFilesystem, WasiFilesystemCtxView},
    p2::bindings::{cli, clocks, filesystem, io, random as wasi_random, sockets},
    sockets::{WasiSockets, WasiSocketsCtx, WasiSocketsCtxView},
};

use crate::cell::CellState;

pub(crate) use clock::{MAX_SLEEP, SleepTooLong};
pub(crate) use files::Folders;
pub(crate) use log::Log;

use clock::Clock;

/// What a cell's clock and randomness are functions of.
#[derive(Clone)]
pub(crate) struct Attempt {
    /// Kept in the data folder, so that a restart repeats what it recomputes.
    pub(crate) host_key: [u8; 32],
    pub(crate) run: RunId,
    /// None for `describe`.
    pub(crate) step: Option<StepId>,
    pub(crate) number: u32,
    /// When the log says that the attempt started.
    pub(crate) started_at: Timestamp,
}

impl Attempt {
    /// For a cell that runs for no step.
    pub(crate) fn none(host_key: [u8; 32]) -> Self {
        let run = RunId::from_bytes([0; 16]);
        Self { host_key, run, step: None, number: 0, started_at: Timestamp::UNIX_EPOCH }
    }
}

/// One cell's WASI. Each part is made on its first use: most cells use none of them.
pub(crate) struct Wasi {
    attempt: Attempt,
    clock: Option<Arc<Clock>>,
    random: Option<ChaCha12Rng>,
    log: Option<Arc<Mutex<Log>>>,
    cli: Option<WasiCliCtx>,
    sockets: Option<WasiSocketsCtx>,
    folders: Folders,
}

impl Wasi {
    pub(crate) fn new(attempt: Attempt, folders: Folders) -> Self {
        Self { attempt, clock: None, random: None, log: None, cli: None, sockets: None, folders }
    }

    /// What the step printed, and how many bytes did not fit. Leaves an empty log behind.
    pub(crate) fn take_log(&mut self) -> (String, u64) {
        self.log.as_ref().map(|log| log.lock().take()).unwrap_or_default()
    }

    fn log(&mut self) -> &Arc<Mutex<Log>> {
        self.log.get_or_insert_default()
    }

    fn clock(&mut self) -> &Arc<Clock> {
        self.clock.get_or_insert_default()
    }

    fn random(&mut self) -> &mut ChaCha12Rng {
        self.random.get_or_insert_with(|| random::generator(&self.attempt))
    }
}

/// The virtual parts with the table that their resources live in.
pub(crate) struct View<'a> {
    wasi: &'a mut Wasi,
    table: &'a mut ResourceTable,
    /// Whether something can happen outside, so that waiting takes real time.
    outside: bool,
}

impl HasData for View<'static> {
    type Data<'a> = View<'a>;
}

fn view(state: &mut CellState) -> View<'_> {
    let outside = state.session.has_sent() || state.wasi.folders.some;
    View { outside, wasi: &mut state.wasi, table: &mut state.table }
}

fn table(state: &mut CellState) -> &mut ResourceTable {
    &mut state.table
}

/// `wasi:cli` with nothing in it: no environment, no arguments, an empty standard input, no terminal.
fn empty_cli(state: &mut CellState) -> WasiCliCtxView<'_> {
    WasiCliCtxView { ctx: state.wasi.cli.get_or_insert_default(), table: &mut state.table }
}

/// `wasi:filesystem` with the granted folders.
fn granted_files(state: &mut CellState) -> WasiFilesystemCtxView<'_> {
    WasiFilesystemCtxView { ctx: &mut state.wasi.folders.ctx, table: &mut state.table }
}

/// `wasi:sockets` with everything denied, which is the default.
fn no_sockets(state: &mut CellState) -> WasiSocketsCtxView<'_> {
    WasiSocketsCtxView { ctx: state.wasi.sockets.get_or_insert_default(), table: &mut state.table }
}

/// The resource table alone, for `wasi:io`.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Puts every interface of `wasi:cli/imports` into the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<CellState>) -> wasmtime::Result<()> {
    type V = View<'static>;
    io::error::add_to_linker::<CellState, Table>(linker, table)?;
    io::streams::add_to_linker::<CellState, Table>(linker, table)?;
    io::poll::add_to_linker::<CellState, V>(linker, view)?;
    clocks::wall_clock::add_to_linker::<CellState, V>(linker, view)?;
    clocks::monotonic_clock::add_to_linker::<CellState, V>(linker, view)?;
    wasi_random::random::add_to_linker::<CellState, V>(linker, view)?;
    wasi_random::insecure::add_to_linker::<CellState, V>(linker, view)?;
    wasi_random::insecure_seed::add_to_linker::<CellState, V>(linker, view)?;
    cli::stdout::add_to_linker::<CellState, V>(linker, view)?;
    cli::stderr::add_to_linker::<CellState, V>(linker, view)?;
    cli::exit::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::environment::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::stdin::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::terminal_input::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::terminal_output::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::terminal_stdin::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::terminal_stdout::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    cli::terminal_stderr::add_to_linker::<CellState, WasiCli>(linker, empty_cli)?;
    filesystem::types::add_to_linker::<CellState, WasiFilesystem>(linker, granted_files)?;
    files::refuse_special(linker)?;
    filesystem::preopens::add_to_linker::<CellState, WasiFilesystem>(linker, granted_files)?;
    add_sockets(linker)
}

fn add_sockets(linker: &mut Linker<CellState>) -> wasmtime::Result<()> {
    let options = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<CellState, WasiSockets>(linker, &options, no_sockets)?;
    sockets::instance_network::add_to_linker::<CellState, WasiSockets>(linker, no_sockets)?;
    sockets::ip_name_lookup::add_to_linker::<CellState, WasiSockets>(linker, no_sockets)?;
    sockets::tcp::add_to_linker::<CellState, WasiSockets>(linker, no_sockets)?;
    sockets::tcp_create_socket::add_to_linker::<CellState, WasiSockets>(linker, no_sockets)?;
    sockets::udp::add_to_linker::<CellState, WasiSockets>(linker, no_sockets)?;
    sockets::udp_create_socket::add_to_linker::<CellState, WasiSockets>(linker, no_sockets)
}

//! How a cell that did not return is reported.

use std::fmt::Write as _;

use stepcell_core::{Failure, Fault};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::{
    cell::{Limiter, Refused, StopReason, Stopped},
    limits::Effective,
    machine::STACK_BYTES_MAX,
    wasi::{MAX_SLEEP, SleepTooLong},
};

/// Frames that a message shows, innermost first.
const FRAMES_SHOWN: usize = 3;
/// How wasmtime says that a call carried more than its `hostcall_fuel`; the type of that error is its own.
const HOSTCALL_FUEL_TEXT: &str = "fuel allocated for hostcalls";

/// What a failure can be told from.
pub(crate) struct Circumstances<'a> {
    pub(crate) limits: &'a Effective,
    pub(crate) limiter: &'a Limiter,
    /// The step's type.
    pub(crate) kind: &'a str,
    /// The peer that it waited for, if it did.
    pub(crate) waits_for: Option<String>,
}

/// Tells a limit from a plain trap.
pub(crate) fn failure(error: &wasmtime::Error, circumstances: &Circumstances<'_>) -> Failure {
    let Circumstances { limits, limiter, kind, waits_for } = circumstances;
    if let Some(Stopped(reason)) = error.downcast_ref() {
        let mut failure = stopped(*reason, limits, kind);
        if let (StopReason::StepTimeout | StopReason::TimeLimit, Some(peer)) = (reason, waits_for) {
            let _ = write!(failure.message, ", and waited for `{peer}`");
        }
        return failure;
    }
    if error.is::<SleepTooLong>() {
        return Failure::system(
            Fault::Limit,
            "sleep_too_long",
            format!("the step sleeps for more than {MAX_SLEEP:?}"),
        )
        .with_hint("put a `delay` step before it: a waiting run holds no cell");
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return limits.fuel_exhausted(kind),
        Some(Trap::StackOverflow) => return stack_exhausted(),
        _ => {}
    }
    // A guest that was refused memory gets to know no more than that; most then trap in one way or another.
    if let Some(refused) = limiter.refused() {
        return out_of(refused, limits, kind);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        let message = format!("the step ended its process with code {} instead of returning", exit.0);
        return Failure::system(Fault::Failed, "exited", message);
    }
    if format!("{error:?}").contains(HOSTCALL_FUEL_TEXT) {
        return limits.output_exceeded(kind, limits.output.value.saturating_add(1));
    }
    Failure::system(Fault::Failed, "trap", trap_message(error))
}

/// The failure behind a memory or table that could not grow.
pub(crate) fn out_of(refused: Refused, limits: &Effective, kind: &str) -> Failure {
    match refused {
        Refused::Memory { wanted } => limits.memory_exceeded(kind, wanted),
        Refused::AllCells => Failure::system(
            Fault::Unavailable,
            "host_memory_exhausted",
            "the steps that run now use all the memory that this host gives to cells",
        )
        .with_hint("let the step try again with `retry`, or run fewer steps with much memory at a time")
        .retryable(),
        Refused::Table { wanted } => {
            let most = Limiter::table_elements_max();
            let message = format!("the step wanted tables of {wanted} elements, of {most} allowed");
            Failure::system(Fault::Limit, "table_exceeded", message)
                .with_hint("a component that needs larger tables can not run here; build it smaller")
        }
    }
}

/// The failure of a cell that was ended from outside.
pub(crate) fn stopped(reason: StopReason, limits: &Effective, kind: &str) -> Failure {
    match reason {
        StopReason::Cancelled => Failure::system(Fault::Failed, "cancelled", "the step was cancelled"),
        StopReason::StepTimeout => limits.timed_out(),
        StopReason::TimeLimit => limits.time_exceeded(kind),
    }
}

/// The failure of a cell whose host side panicked: our bug, which takes nothing else with it.
pub(crate) fn host_panic() -> Failure {
    Failure::system(Fault::Failed, "host_panic", "the host failed while it ran the step")
        .with_hint("this is a defect of stepcell; the host's own log has the details")
}

fn stack_exhausted() -> Failure {
    let message = format!("the step's calls nest too deep for its stack of {} KiB", STACK_BYTES_MAX >> 10);
    Failure::system(Fault::Limit, "stack_exhausted", message).with_hint("look for a recursion without an end")
}

fn trap_message(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
    let frames: Vec<String> = error
        .downcast_ref::<WasmBacktrace>()
        .into_iter()
        .flat_map(WasmBacktrace::frames)
        .take(FRAMES_SHOWN)
        .map(|frame| match frame.func_name() {
            Some(name) => format!("`{}`", shorten(name)),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    match frames.is_empty() {
        true => format!("the step trapped: {cause}"),
        false => format!("the step trapped: {cause}, in {}", frames.join(", called by ")),
    }
}

/// Names longer than this are generic code's, and say nothing more by their end.
const NAME_CHARS_MAX: usize = 80;

fn shorten(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
    }
}

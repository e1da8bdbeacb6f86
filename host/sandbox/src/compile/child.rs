//! What happens in the compiler's process: it gives itself limits, reads a file, and writes machine code.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

use crate::machine;

/// Address space of the compiler's process. The Python runner takes about a quarter of it.
pub(crate) const COMPILE_MEMORY_MAX: u64 = 8 << 30;
/// CPU time of the compiler's process, all threads together.
pub(crate) const COMPILE_CPU: Duration = Duration::from_secs(180);
/// The largest machine code.
const CODE_BYTES_MAX: u64 = 1 << 30;
/// How much nicer than the host the compiler is.
const NICENESS: i32 = 10;
/// The longest reason.
const REASON_BYTES_MAX: usize = 2 << 10;
/// The layer of a WebAssembly file, after its magic: a core module or a component.
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];

/// Why a file was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("the limits of the compiler can not be set: {0}")]
    Limits(#[source] io::Error),
    #[error("`{}` can not be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` can not be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("it is a core module without the description that a component can be made from: {0}")]
    Module(String),
    #[error("it is no valid component: {0}")]
    Component(String),
    #[error("the compiler can not be started: {0}")]
    Engine(String),
}

/// Compiles the component in `input` and writes machine code to `output`: the whole work of the process that
/// [`Compiler`](crate::Compiler) names. It limits the memory and time of the process it is called in.
///
/// Where it fails it writes the reason beside `output` too, which is where the host finds it.
pub fn compile_child(input: &Path, output: &Path) -> Result<(), CompileError> {
    limit_this_process().map_err(CompileError::Limits)?;
    let result = compile(input, output);
    if let Err(error) = &result {
        let mut reason = error.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        // Without it the host says that there was none.
        let _ = fs::write(reason_path(output), reason);
    }
    result
}

/// Where the reason for a failure is written.
pub(crate) fn reason_path(output: &Path) -> PathBuf {
    let mut path = OsString::from(output);
    path.push(".reason");
    path.into()
}

fn limit_this_process() -> io::Result<()> {
    for (resource, most) in [
        (Resource::As, COMPILE_MEMORY_MAX),
        (Resource::Cpu, COMPILE_CPU.as_secs()),
        (Resource::Fsize, CODE_BYTES_MAX),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // Only a courtesy to the running host.
    let _ = setpriority_process(None, NICENESS);
    Ok(())
}

pub(crate) fn compile(input: &Path, output: &Path) -> Result<(), CompileError> {
    let bytes = fs::read(input).map_err(|source| CompileError::Read { path: input.to_owned(), source })?;
    let component = if bytes.get(4..8) == Some(&CORE_MODULE) { componentize(&bytes)? } else { bytes };
    let engine =
        Engine::new(&machine::compile_config()).map_err(|error| CompileError::Engine(error.to_string()))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| CompileError::Component(format!("{error:#}")))?;
    write(output, &code).map_err(|source| CompileError::Write { path: output.to_owned(), source })
}

/// Makes a component of a core module that says in a custom section which world it is for.
fn componentize(module: &[u8]) -> Result<Vec<u8>, CompileError> {
    let encode = || {
        ComponentEncoder::default()
            .validate(true)
            .module(module)?
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
            .encode()
    };
    encode().map_err(|error| CompileError::Module(format!("{error:#}")))
}

/// Whole and on the disk before the host gives it its name.
fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(code)?;
    file.sync_all()
}

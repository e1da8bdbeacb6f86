//! Compiles components in a process of their own: a file made to exhaust the compiler takes nothing else down.

pub(crate) mod child;

use std::{
    fs, io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use stepcell_core::Digest;
use tokio::sync::Semaphore;

use crate::{cache::Cache, options::Compiler, plugin::Refusal};

use child::{COMPILE_CPU, COMPILE_MEMORY_MAX, reason_path};

/// Compilers of one size at the same time. Each uses all cores where it can.
const COMPILERS_MAX: usize = 1;
/// From here on a file is big. Big and small ones wait in lines of their own, so that a step that somebody
/// drops into the folder is not kept waiting by a language's runtime, which takes some ten seconds.
const BIG_BYTES: u64 = 1 << 20;
/// Threads of one compiler, where there are so many cores. Each one takes address space, which is limited.
const COMPILE_THREADS_MAX: usize = 4;
/// The wall clock of one compiler. Beyond its own limit on CPU time, for a machine that is busy.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(300);
/// How often a running compiler is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Starts compilers, a few at a time.
pub(crate) struct Compilers {
    compiler: Compiler,
    cache: Arc<Cache>,
    small: Arc<Semaphore>,
    big: Arc<Semaphore>,
}

impl Compilers {
    pub(crate) fn new(compiler: Compiler, cache: Arc<Cache>) -> Self {
        let line = || Arc::new(Semaphore::new(COMPILERS_MAX));
        Self { compiler, cache, small: line(), big: line() }
    }

    /// Compiles a file that the cache keeps into the cache. Waits its turn.
    pub(crate) async fn compile(&self, digest: Digest, file: PathBuf) -> Result<(), Refusal> {
        let is_big = fs::metadata(&file).is_ok_and(|file| file.len() >= BIG_BYTES);
        let line = if is_big { &self.big } else { &self.small };
        let _permit = Arc::clone(line).acquire_owned().await;
        let compiler = self.compiler.clone();
        let cache = Arc::clone(&self.cache);
        let done = tokio::task::spawn_blocking(move || {
            let part = cache.part(digest);
            let result = run(&compiler, &file, &part)
                .and_then(|()| cache.keep_code(digest, &part).map_err(|error| unusable(&error)));
            // Both are gone already where all went well.
            let _ = fs::remove_file(&part);
            let _ = fs::remove_file(reason_path(&part));
            result
        });
        done.await.unwrap_or_else(|_| Err(Refusal::new("the compiler could not be started")))
    }
}

fn run(compiler: &Compiler, input: &Path, output: &Path) -> Result<(), Refusal> {
    let child = Command::new(&compiler.program)
        .args(&compiler.args)
        .args([input, output])
        .env_clear()
        .env("RAYON_NUM_THREADS", threads().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            Refusal::new(format!("the compiler `{}` can not be started: {error}", compiler.program.display()))
        })?;
    let status = wait(child).map_err(|error| unusable(&error))?;
    match status {
        None => Err(too_slow()),
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(status, output)),
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(COMPILE_THREADS_MAX)
}

/// `None` where the compiler took too long and was killed.
fn wait(mut child: Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + COMPILE_TIME_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn failed(status: ExitStatus, output: &Path) -> Refusal {
    if let Ok(reason) = fs::read_to_string(reason_path(output)) {
        return Refusal::new(reason);
    }
    match status.signal() {
        Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => too_slow(),
        // Running out of memory ends in an abort, a failed assertion too, and nobody is left to say which.
        Some(signal) => Refusal::new(format!(
            "its compiler was ended by signal {signal}, most likely out of its {} GiB of memory",
            COMPILE_MEMORY_MAX >> 30
        )),
        None => Refusal::new(format!("its compiler failed and gave no reason ({status})")),
    }
    .with_hint("a component that large or that strange is not run; build it smaller")
}

fn too_slow() -> Refusal {
    Refusal::new(format!("it takes more than {} s of CPU time to compile", COMPILE_CPU.as_secs()))
        .with_hint("a component that large or that strange is not run; build it smaller")
}

fn unusable(error: &io::Error) -> Refusal {
    Refusal::new(format!("its compiled code can not be kept: {error}"))
}

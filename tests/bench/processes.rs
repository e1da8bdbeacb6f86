//! Plain processes that compute what steps compute.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::fibo::fibo;

/// What this program computes and prints instead of measuring, where it is called with this and a number.
pub(crate) const COMPUTE: &str = "--compute-fibo";

/// An interpreter with two ways to compute.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Takes code as its next argument, and a number behind it.
    flag: &'static str,
    /// Computes for that number and ends.
    once: &'static str,
    /// Computes for each line that comes in.
    warm: &'static str,
}

impl Program {
    pub(crate) const NODE: Self = Self {
        name: "node",
        flag: "-e",
        once: "const fibo = n => n < 2 ? n : fibo(n - 1) + fibo(n - 2); console.log(fibo(+process.argv[1]));",
        warm: "const fibo = n => n < 2 ? n : fibo(n - 1) + fibo(n - 2);
            require('readline').createInterface({ input: process.stdin }).on('line', n => console.log(fibo(+n)));",
    };
    pub(crate) const PYTHON: Self = Self {
        name: "python3",
        flag: "-c",
        once: "import sys
def fibo(n):
    return n if n < 2 else fibo(n - 1) + fibo(n - 2)
print(fibo(int(sys.argv[1])))",
        warm: "import sys
def fibo(n):
    return n if n < 2 else fibo(n - 1) + fibo(n - 2)
for line in sys.stdin:
    print(fibo(int(line)), flush=True)",
    };

    /// The time of calls one after the other, each in a process of its own.
    pub(crate) fn processes(&self, calls: usize, n: u32) -> Result<Duration> {
        timed(calls, || expect(Command::new(self.name).args([self.flag, self.once, &n.to_string()]), n))
    }
}

/// The time of calls of this very program one after the other, each in a process of its own.
pub(crate) fn native(calls: usize, n: u32) -> Result<Duration> {
    let program = env::current_exe()?;
    timed(calls, || expect(Command::new(&program).args([COMPUTE, &n.to_string()]), n))
}

/// An interpreter that is started already, and is asked by lines; ends when this is dropped.
pub(crate) struct Warm {
    process: Child,
    asking: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Warm {
    pub(crate) fn start(program: &Program) -> Result<Self> {
        let mut command = Command::new(program.name);
        command.args([program.flag, program.warm]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("starting {}", program.name))?;
        let asking = process.stdin.take().context("it is piped")?;
        let answers = BufReader::new(process.stdout.take().context("it is piped")?);
        let mut warm = Self { process, asking, answers };
        // Starts and compiles; dropped.
        warm.calls(1, 1)?;
        Ok(warm)
    }

    /// The time of calls one after the other.
    pub(crate) fn calls(&mut self, calls: usize, n: u32) -> Result<Duration> {
        timed(calls, || {
            writeln!(self.asking, "{n}")?;
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            computed(&line, n)
        })
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn timed(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    for _ in 0..calls {
        call()?;
    }
    Ok(started.elapsed())
}

fn expect(command: &mut Command, n: u32) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    computed(&String::from_utf8_lossy(&output.stdout), n)
}

fn computed(text: &str, n: u32) -> Result<()> {
    ensure!(text.trim() == fibo(n).to_string(), "`{}` was computed for {n}", text.trim());
    Ok(())
}

//! From the arguments to the exit status.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::{Cli, Command, Global},
    error::Error,
    output::Output,
};

/// How long work on blocking threads may take to end once the command is done. What matters was awaited before.
const LINGER: Duration = Duration::from_millis(200);

/// Parses the arguments, does what they ask for, and says how it went.
pub fn main() -> ExitCode {
    // A call that clap refuses ends here, with its message on stderr and status 2.
    let Cli { global, command } = Cli::parse();
    match run(&global, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report(Output::new(global.output));
            error.exit_code()
        }
    }
}

fn run(global: &Global, command: Command) -> Result<(), Error> {
    if let Command::CompilePlugin(compile) = command {
        return compile.run();
    }
    let runtime = runtime()?;
    let result = runtime.block_on(dispatch(global, command));
    runtime.shutdown_timeout(LINGER);
    result
}

async fn dispatch(global: &Global, command: Command) -> Result<(), Error> {
    // Boxed: the largest of these futures would else be the size of all.
    match command {
        Command::Run(run) => Box::pin(run.run(global)).await,
        Command::Serve(serve) => Box::pin(serve.run(global)).await,
        Command::Submit(submit) => Box::pin(submit.run(global)).await,
        Command::Validate(validate) => Box::pin(validate.run(global)).await,
        Command::Explain(explain) => Box::pin(explain.run(global)).await,
        Command::Plugins(plugins) => Box::pin(plugins.run(global)).await,
        Command::Runs(runs) => Box::pin(runs.run(global)).await,
        Command::CompilePlugin(compile) => compile.run(),
    }
}

/// Threads of this runtime never run guests: those that drive runs do, and the sandbox has its own.
fn runtime() -> Result<Runtime, Error> {
    let runtime = Builder::new_multi_thread().thread_name("stepcell-io").enable_all().build();
    runtime.map_err(|error| Error::system("the threads can not be started", error))
}

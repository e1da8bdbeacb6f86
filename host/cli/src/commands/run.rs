//! `run`: one flow in this process, its store in memory.

use std::{path::PathBuf, pin::pin};

use clap::Args;
use futures_util::StreamExt;
use stepcell_core::{RunId, run::RunStatus};
use stepcell_engine::{Engine, RunView, Submit};

use crate::{
    args::{Global, HostArgs, InputArgs},
    config::{Config, Flags},
    error::Error,
    flow_file::{self, FlowText},
    host::Host,
    listing::Listing,
    live::{self, Live},
    logging,
    output::Output,
    signals,
};

/// Runs a flow in this process and prints its output.
///
/// The steps are shown on stderr as they go; stdout gets the output as JSON and nothing else. Nothing is kept:
/// with `serve` a run survives a restart, here it ends with the process. Ctrl-C cancels the run.
///
/// stepcell run flow.yaml --input '{"id": "A-17"}' | jq .net
#[derive(Debug, Args)]
pub struct Run {
    /// The flow, a YAML or JSON file.
    #[arg(value_name = "FLOW")]
    pub flow: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub host: HostArgs,
    /// Also shows what steps print, and when they start.
    ///
    /// Each line that a step prints is shown behind its id: `price | total is 17`
    #[arg(short, long)]
    pub verbose: bool,
}

impl Run {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        let terminal = live::terminal();
        logging::start(global, "error", terminal.clone())?;
        let config = Config::load(&Flags::from(&self.host), Some(&self.flow))?;
        let flow = FlowText::read(&self.flow)?;
        let parsed = flow.parse()?;
        let input = flow_file::input(&self.input)?;
        let host = Host::in_memory(&config, global).await?;
        host.plugins().settled().await;
        let engine = host.engine();
        let plan = engine.plan(parsed).map_err(|problems| invalid(&flow.name, problems))?;
        Listing::new(flow.name, Vec::new()).with_warnings(plan.warnings.iter().cloned()).note();
        plan.check_input(&input).map_err(|problems| invalid(&flow_file::name(&self.input), problems))?;

        let kinds = plan.flow.steps.values().map(|step| (step.id.clone(), step.kind.clone())).collect();
        let mut live = Live::new(&plan.flow.name, kinds, self.verbose, terminal);
        let run =
            engine.submit(Submit { plan, input, idempotency_key: None }).await.map_err(Error::engine)?;
        follow(engine, run, &mut live).await?;
        live.finish();
        let view = engine.show(run).await.map_err(Error::engine)?;
        host.shutdown().await;
        print(Output::new(global.output), &view)
    }
}

/// Shows the run until it has ended. The first Ctrl-C cancels it, so that it ends; the second gives up on that.
async fn follow(engine: &Engine, run: RunId, live: &mut Live) -> Result<(), Error> {
    let mut events = pin!(engine.follow(run, 0));
    let mut stop = signals::Stop::listen()?;
    let mut clock = tokio::time::interval(live::TICK);
    let mut cancelled = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => live.event(&event.map_err(Error::engine)?),
                None => return Ok(()),
            },
            () = stop.asked() => {
                if cancelled {
                    return Err(Error::Interrupted);
                }
                cancelled = true;
                match engine.cancel(run, Some("interrupted".to_owned())).await {
                    // The run has ended by itself in the meantime.
                    Ok(_) | Err(stepcell_engine::Error::Finished { .. }) => {}
                    Err(error) => return Err(Error::engine(error)),
                }
            }
            _ = clock.tick() => live.tick(),
        }
    }
}

/// The output of a run that succeeded, or as JSON the whole run either way.
fn print(output: Output, view: &RunView) -> Result<(), Error> {
    let succeeded = view.status == RunStatus::Succeeded;
    if output.is_json() {
        output.json(view)?;
    } else if succeeded {
        output.json(&view.output)?;
    }
    if succeeded { Ok(()) } else { Err(Error::RunFailed) }
}

fn invalid(file: &str, problems: Vec<stepcell_core::problem::Problem>) -> Error {
    Error::Problems(Listing::new(file, problems))
}

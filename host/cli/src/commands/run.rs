//! `run`: one flow in this process, its store in memory.

mod answering;

use std::{path::PathBuf, pin::pin};

use clap::Args;
use futures_util::StreamExt;
use indexmap::IndexMap;
use serde::Serialize;
use stepcell_core::{RunId, StepId, run::RunStatus};
use stepcell_engine::{Engine, RunView, Submit};

use self::answering::Answering;
use crate::{
    args::{Global, HostArgs, InputArgs},
    config::{Config, Flags},
    error::Error,
    explain,
    flow_file::{self, FlowText, Given},
    host::Host,
    includes,
    learn::{self, Learned},
    listing::Listing,
    live::{self, Live},
    logging,
    output::{Output, note},
    signals, text,
};

/// Why a run is cancelled that somebody at the terminal ends.
const INTERRUPTED: &str = "interrupted";

/// Runs a flow in this process and prints its output.
///
/// The steps are shown on stderr as they go; stdout gets the output as JSON and nothing else. Nothing is kept:
/// with `serve` a run survives a restart, here it ends with the process. Ctrl-C cancels the run.
///
/// At a terminal you are asked for approvals. A run that waits for one elsewhere, or for an event, and for nothing else
/// that could let it go on, is cancelled with exit status 1.
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
    /// Ends with the smallest grant that would allow what was refused.
    ///
    /// It takes the place of `grants` in stepcell.yaml: what is granted there is part of it. It is on stdout where
    /// the run failed, so that there is no output, else on stderr; with `--output json` under `learned`. A step
    /// may end at its first refusal: run the flow again until nothing is refused.
    #[arg(long)]
    pub learn: bool,
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
        explain::note_doubts(&config, &host.plugins().catalog());
        let engine = host.engine();
        let (parsed, includes) = includes::resolve(&flow, parsed, &host.plugins().catalog())?;
        let plan = engine.plan(parsed);
        let plan = plan.map_err(|problems| Error::Problems(includes.listing(&flow, problems)))?;
        let mut warnings =
            Listing::new(flow.name.clone(), Vec::new()).with_warnings(plan.warnings.iter().cloned());
        includes.mend(&flow, &mut warnings);
        warnings.note();
        plan.check_input(&input).map_err(|problems| invalid(&Given::input(&self.input).name(), problems))?;

        let kinds: IndexMap<StepId, String> =
            plan.flow.steps.values().map(|step| (step.id.clone(), step.kind.clone())).collect();
        let mut live = Live::new(&plan.flow.name, kinds.clone(), self.verbose, terminal);
        let run =
            engine.submit(Submit { plan, input, idempotency_key: None }).await.map_err(Error::engine)?;
        follow(engine, run, &mut live).await?;
        let learned =
            self.learn.then(|| Learned::new(&config.grants, live.denied(), |step| kind_of(&kinds, step)));
        live.finish();
        let view = engine.show(run).await.map_err(Error::engine)?;
        host.shutdown().await;
        print(Output::new(global.output), &view, learned.as_ref())
    }
}

/// Shows the run until it has ended. The first Ctrl-C cancels it, so that it ends; the second gives up on that. A run that
/// waits for what can not come is cancelled as well.
async fn follow(engine: &Engine, run: RunId, live: &mut Live) -> Result<(), Error> {
    let mut events = pin!(engine.follow(run, 0));
    let mut stop = signals::Stop::listen()?;
    let mut clock = tokio::time::interval(live::TICK);
    let mut answering = Answering::new(run);
    let mut cancelled = false;
    loop {
        let reason = tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                Some(event) => {
                    let event = event.map_err(Error::engine)?;
                    live.event(&event);
                    answering.event(&event, live).then_some(answering::OUT_OF_REACH)
                }
            },
            reply = answering.reply(live) => match reply? {
                Some(reply) => answering.resume(engine, reply, live).await.map(|()| None)?,
                None => Some(INTERRUPTED),
            },
            () = stop.asked() => {
                if cancelled {
                    return Err(Error::Interrupted);
                }
                Some(INTERRUPTED)
            }
            _ = clock.tick() => {
                live.tick();
                None
            }
        };
        if let Some(reason) = reason.filter(|_| !cancelled) {
            cancelled = true;
            cancel(engine, run, reason).await?;
        }
    }
}

async fn cancel(engine: &Engine, run: RunId, reason: &str) -> Result<(), Error> {
    match engine.cancel(run, Some(reason.to_owned())).await {
        // The run has ended by itself in the meantime.
        Ok(_) | Err(stepcell_engine::Error::Finished { .. }) => Ok(()),
        Err(error) => Err(Error::engine(error)),
    }
}

/// The type of a step, or of the fan-out that it is an item of.
fn kind_of<'k>(kinds: &'k IndexMap<StepId, String>, step: &StepId) -> Option<&'k str> {
    let name = step.as_str().split(['[', '.']).next().unwrap_or_default();
    kinds.get(name).map(String::as_str)
}

/// The output of a run that succeeded, or as JSON the whole run either way.
fn print(output: Output, view: &RunView, learned: Option<&Learned>) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        run: &'a RunView,
        #[serde(skip_serializing_if = "Option::is_none")]
        learned: Option<learn::View>,
    }
    let succeeded = view.status == RunStatus::Succeeded;
    if output.is_json() {
        output.json(&Whole { run: view, learned: learned.map(Learned::view) })?;
    } else if succeeded {
        if let Some(learned) = learned {
            let lines = if learned.refused() { learned.yaml() } else { "nothing was refused".to_owned() };
            note(text::safe(&lines).trim_end());
        }
        output.json(&view.output)?;
    } else if let Some(learned) = learned.filter(|learned| learned.refused()) {
        output.text(&text::safe(&learned.yaml()))?;
    }
    if succeeded { Ok(()) } else { Err(Error::RunFailed) }
}

fn invalid(file: &str, problems: Vec<stepcell_core::problem::Problem>) -> Error {
    Error::Problems(Listing::new(file, problems))
}

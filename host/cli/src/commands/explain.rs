//! `explain`: what each step of a flow gets, and why not more.

use std::path::PathBuf;

use clap::Args;
use stepcell_core::plan::Plan;

use crate::{
    args::{Global, HostArgs},
    config::{Config, Flags},
    error::Error,
    explain::{Explanation, note_doubts},
    flow_file::FlowText,
    host::PluginSet,
    includes, logging,
    output::Output,
    text,
};

/// Shows what each step of a flow may reach, and why not more.
///
/// A step gets what its plugin asks for, as far as the operator's grants, the flow's and its own allow it. For
/// each capability the line says whose word it is, and for each step the limits of one execution.
///
/// stepcell explain flow.yaml --output json | jq '.steps[].plugins[].capabilities[] | select(.asked)'
#[derive(Debug, Args)]
pub struct Explain {
    /// The flow, a YAML or JSON file.
    #[arg(value_name = "FLOW")]
    pub flow: PathBuf,
    #[command(flatten)]
    pub host: HostArgs,
}

impl Explain {
    pub async fn run(self, global: &Global) -> Result<(), Error> {
        logging::start(global, "error", None)?;
        let output = Output::new(global.output);
        let config = Config::load(&Flags::from(&self.host), Some(&self.flow))?;
        let flow = FlowText::read(&self.flow)?;
        let parsed = flow.parse()?;
        let plugins = PluginSet::load(&config, global).await?;
        plugins.settled().await;
        let catalog = plugins.catalog();
        let (parsed, includes) = includes::resolve(&flow, parsed, &catalog)?;
        let plan = Plan::build(parsed, &catalog);
        let plan = plan.map_err(|problems| Error::Problems(includes.listing(&flow, problems)))?;
        note_doubts(&config, &catalog);
        let explanation = Explanation::new(&plan, &plugins, &config);
        if output.is_json() {
            return output.json(&explanation);
        }
        output.text(&text::safe(&explanation.to_string()))
    }
}

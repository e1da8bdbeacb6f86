//! `validate`: everything that is wrong with a flow, without running it.

use std::path::PathBuf;

use clap::Args;
use stepcell_core::plan::Plan;

use crate::{
    args::{Global, HostArgs},
    config::{Config, Flags},
    error::Error,
    explain::{self, Explanation},
    flow_file::FlowText,
    host::PluginSet,
    includes,
    listing::Listing,
    logging,
    output::Output,
};

/// Checks a flow and lists everything that is wrong with it.
///
/// Also warns where a step asks for what the operator does not grant, and where a limit is more than he allows.
/// Each problem is a line `FILE:LINE:COLUMN: message` on stderr, with hints on the lines after it. Warnings
/// alone do not change the exit status.
///
/// stepcell validate flow.yaml && stepcell run flow.yaml
#[derive(Debug, Args)]
pub struct Validate {
    /// The flow, a YAML or JSON file.
    #[arg(value_name = "FLOW")]
    pub flow: PathBuf,
    #[command(flatten)]
    pub host: HostArgs,
}

impl Validate {
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
        let explanation = Explanation::new(&plan, &plugins, &config);
        let granted = explain::warnings(&plan, &explanation, &flow.parse()?);
        let mut listing = Listing::new(flow.name.clone(), Vec::new()).with_warnings(plan.warnings);
        includes.mend(&flow, &mut listing);
        // These have their places already: they are of the flow's own steps.
        let listing = listing.with_warnings(granted);
        if output.is_json() {
            return output.json(&listing.to_json());
        }
        listing.note();
        output.text(&format!("{}: valid\n", listing.file))
    }
}

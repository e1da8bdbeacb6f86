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
        let plan = Plan::build(parsed, &plugins.catalog());
        let plan = plan.map_err(|problems| Error::Problems(Listing::new(flow.name.clone(), problems)))?;
        let explanation = Explanation::new(&plan, &plugins, &config);
        let granted = explain::warnings(&plan, &explanation, &flow.parse()?);
        let listing = Listing::new(flow.name, Vec::new()).with_warnings(plan.warnings).with_warnings(granted);
        if output.is_json() {
            return output.json(&listing.to_json());
        }
        listing.note();
        output.text(&format!("{}: valid\n", listing.file))
    }
}

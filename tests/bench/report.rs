//! All that was measured, as it is kept.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use crate::{figure::Figure, table};

pub(crate) struct Report {
    /// Whether just enough was measured to show that it can be: such figures say little.
    pub(crate) quick: bool,
    pub(crate) groups: Vec<Group>,
}

#[derive(Serialize)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// The machine's at the start and at the end. What is over our own threads is other people's work.
    pub(crate) load: [f64; 2],
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// Writes `target/bench.json` and `target/bench.txt`.
    pub(crate) fn write(&self) -> Result<()> {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let report = json!({ "cores": cores, "quick": self.quick, "groups": self.groups });
        let mut tables = format!("{cores} cores{}\n", if self.quick { ", quick" } else { "" });
        for group in &self.groups {
            tables.push_str(&format!("\n{}", group.table()));
        }
        for (name, text) in [("bench.json", format!("{report:#}\n")), ("bench.txt", tables)] {
            let file = stepcell_tests::target().join(name);
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            println!("written to {}", file.display());
        }
        Ok(())
    }
}

impl Group {
    pub(crate) fn table(&self) -> String {
        let [before, after] = self.load;
        format!("{}, load {before} to {after}\n\n{}", self.name, table::render(&self.figures))
    }
}

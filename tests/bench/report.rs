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
    /// Why it could not be measured; the other groups are, all the same.
    pub(crate) failed: Option<String>,
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

    /// The names of the groups that could not be measured.
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        self.groups.iter().filter(|group| group.failed.is_some()).map(|group| group.name).collect()
    }
}

impl Group {
    pub(crate) fn table(&self) -> String {
        let [before, after] = self.load;
        let figures = match &self.failed {
            Some(error) => format!("error: {error}\n"),
            None => table::render(&self.figures),
        };
        format!("{}, load {before} to {after}\n\n{figures}", self.name)
    }
}

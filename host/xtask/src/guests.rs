//! Builds the programs of `tests/guests`, one for each behaviour.

use std::path::Path;

use anyhow::Result;

use crate::{build::step, component, wasm};

/// Builds every crate of `tests/guests` into `target/guests/NAME.wasm`.
pub(crate) fn build(root: &Path) -> Result<()> {
    let guests = wasm::cells(root, "tests/guests")?;
    let folder = root.join("target/guests");
    step(&format!("building {} test programs into target/guests", guests.len()), || {
        wasm::build(root, &guests)?;
        for guest in &guests {
            component::place(&folder, &guest.name, &component::encode(&guest.module(root))?)?;
        }
        let names: Vec<_> = guests.into_iter().map(|guest| guest.name).collect();
        component::remove_others(&folder, &names)
    })
}

//! What the engine adds to a pure step in Rust.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stepcell_core::Json;

use crate::{
    bed::Bed,
    figure::{Figure, Unit},
    stats::{micros, millis, spread},
};

/// Rounds in which everything is measured once, so that a busy minute of the machine hits all of it.
const ROUNDS: usize = 40;
const CALLS_PER_ROUND: usize = 200;
const ROWS_PER_ROUND: usize = 20;
/// Steps of the long flow.
const STEPS: usize = 40;

#[derive(Default)]
struct Times {
    bare: Vec<Duration>,
    cell: Vec<Duration>,
    one: Vec<Duration>,
    row: Vec<Duration>,
}

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let bed = Bed::start().await?;
    let mut times = Times::default();
    // Its times are dropped.
    round(&bed, &mut Times::default()).await?;
    for _ in 0..ROUNDS {
        round(&bed, &mut times).await?;
    }
    bed.stop().await;
    figures(&times)
}

async fn round(bed: &Bed, times: &mut Times) -> Result<()> {
    let input: Json = json!({ "id": 7, "tags": ["a", "b"] }).into();
    let resolved = json!({ "output": { "id": 7, "tags": ["a", "b"], "text": "order 7" } });
    let work = bed.work("transform", &resolved, &input)?;
    let (one, row) = (bed.plan(&flow(1))?, bed.plan(&flow(STEPS))?);
    times.bare.extend(bed.bare(&work, CALLS_PER_ROUND).await?);
    times.one.extend(bed.runs(&one, &input, CALLS_PER_ROUND).await?);
    times.cell.extend(bed.cells(&work, CALLS_PER_ROUND).await?);
    times.row.extend(bed.runs(&row, &input, ROWS_PER_ROUND).await?);
    Ok(())
}

/// Steps in a row: the first reads the run's input, each other the output of the one before, all by templates.
fn flow(steps: usize) -> Value {
    let step = |index: usize| {
        let from = if index == 0 { "input".to_owned() } else { format!("steps.s{}", index - 1) };
        let output = json!({
            "id": format!("{{{{ {from}.id }}}}"),
            "tags": format!("{{{{ {from}.tags }}}}"),
            "text": format!("order {{{{ {from}.id }}}}"),
        });
        json!({ "id": format!("s{index}"), "type": "transform", "config": { "output": output } })
    };
    json!({ "name": format!("row-of-{steps}"), "steps": (0..steps).map(step).collect::<Vec<_>>() })
}

fn figures(times: &Times) -> Result<Vec<Figure>> {
    let bare = spread(&times.bare, micros)?;
    let cell = spread(&times.cell, micros)?;
    let one = spread(&times.one, micros)?;
    let row = spread(&times.row, millis)?;
    let steps = STEPS as f64;
    let per_step = row.p50 * 1e3 / steps;
    Ok(vec![
        Figure::spread("bare wasmtime loop, `transform`", Unit::Micros, bare),
        Figure::spread("a call in a cell, no engine", Unit::Micros, cell).over("bare", bare.p50),
        Figure::spread("a run of one step", Unit::Micros, one).over("bare", bare.p50),
        Figure::value("added to the one step", Unit::Micros, one.p50 - bare.p50)
            .below(50.0)
            .over("bare", bare.p50),
        Figure::spread(format!("a run of {STEPS} steps in a row"), Unit::Millis, row)
            .below(5.0)
            .over("as many bare calls", bare.p50 * steps / 1e3),
        Figure::value("added to each step of the row", Unit::Micros, per_step - bare.p50)
            .below(50.0)
            .over("bare", bare.p50),
    ])
}

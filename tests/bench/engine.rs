//! What the engine adds to a pure step in Rust.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stepcell_core::Json;

use crate::{
    bed::Bed,
    effort::Effort,
    figure::{Figure, Unit},
    flows,
    stats::{micros, millis, spread},
};

const CALLS_PER_ROUND: usize = 200;
const ROWS_PER_ROUND: usize = 20;
/// Steps of the long flow.
const STEPS: usize = 40;
/// Steps that do not ask for the context they stand in.
const ASIDE: usize = 20;
const SMALL_CONTEXT: usize = 1_000;
const BIG_CONTEXT: usize = 1_000_000;
/// More than this over the small context would be a cost of the big one, and not the machine's.
const AS_MUCH: f64 = 1.25;

#[derive(Default)]
struct Times {
    bare: Vec<Duration>,
    cell: Vec<Duration>,
    one: Vec<Duration>,
    row: Vec<Duration>,
    /// Runs in the small and in the big context: of what makes the context alone, and with steps behind it.
    contexts: [Context; 2],
}

#[derive(Default)]
struct Context {
    alone: Vec<Duration>,
    with_steps: Vec<Duration>,
}

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let bed = Bed::start().await?;
    let mut times = Times::default();
    // Its times are dropped.
    round(&bed, &mut Times::default()).await?;
    // In each round everything is measured once, so that a busy minute of the machine hits all of it.
    for _ in 0..effort.of(40, 3) {
        round(&bed, &mut times).await?;
    }
    bed.stop().await;
    figures(&times)
}

async fn round(bed: &Bed, times: &mut Times) -> Result<()> {
    let input: Json = flows::order().into();
    let resolved = json!({ "output": { "id": 7, "tags": ["a", "b"], "text": "order 7" } });
    let work = bed.work("transform", &resolved, &input)?;
    let (one, row) = (bed.plan(&flows::row(1))?, bed.plan(&flows::row(STEPS))?);
    times.bare.extend(bed.bare(&work, CALLS_PER_ROUND).await?);
    times.one.extend(bed.runs(&one, &input, CALLS_PER_ROUND).await?);
    times.cell.extend(bed.cells(&work, CALLS_PER_ROUND).await?);
    times.row.extend(bed.runs(&row, &input, ROWS_PER_ROUND).await?);
    for (bytes, times) in [SMALL_CONTEXT, BIG_CONTEXT].into_iter().zip(&mut times.contexts) {
        let (alone, with_steps) = (bed.plan(&aside(0))?, bed.plan(&aside(ASIDE))?);
        let input = json!({ "id": 7, "ballast": "x".repeat(bytes) }).into();
        times.alone.extend(bed.runs(&alone, &input, ROWS_PER_ROUND).await?);
        times.with_steps.extend(bed.runs(&with_steps, &input, ROWS_PER_ROUND).await?);
    }
    Ok(())
}

/// A step that gives the whole input once more, and steps behind it that say `context: none`, as `transform` does.
fn aside(steps: usize) -> Value {
    let step = |index: usize| {
        let before = index.checked_sub(1).map_or_else(|| "first".to_owned(), |index| format!("s{index}"));
        json!({ "id": format!("s{index}"), "type": "transform", "after": [before],
            "config": { "output": "{{ input.id }}" } })
    };
    let first = json!({ "id": "first", "type": "transform", "config": { "output": "{{ input }}" } });
    let all: Vec<Value> = std::iter::once(first).chain((0..steps).map(step)).collect();
    json!({ "name": format!("aside-{steps}"), "steps": all, "output": "{{ input.id }}" })
}

fn figures(times: &Times) -> Result<Vec<Figure>> {
    let bare = spread(&times.bare, micros)?;
    let cell = spread(&times.cell, micros)?;
    let one = spread(&times.one, micros)?;
    let row = spread(&times.row, millis)?;
    let steps = STEPS as f64;
    let per_step = row.p50 * 1e3 / steps;
    let mut figures = vec![
        Figure::spread("bare wasmtime loop, `transform`", Unit::Micros, bare),
        Figure::spread("a call in a cell, no engine", Unit::Micros, cell).over("bare", bare.p50),
        Figure::spread("a run of one step", Unit::Micros, one).over("bare", bare.p50),
        Figure::value("added to the one step", Unit::Micros, one.p50 - bare.p50)
            .at_most(50.0)
            .over("bare", bare.p50),
        Figure::spread(format!("a run of {STEPS} steps in a row"), Unit::Millis, row)
            .at_most(5.0)
            .over("as many bare calls", bare.p50 * steps / 1e3),
        Figure::value("a pure step, one of that row", Unit::Micros, per_step)
            .over("bare", bare.p50)
            .ratio_at_most(2.0),
    ];
    figures.push(contexts(&times.contexts)?);
    Ok(figures)
}

fn contexts(times: &[Context; 2]) -> Result<Figure> {
    let each = |context: &Context| -> Result<f64> {
        let (alone, with_steps) = (spread(&context.alone, micros)?, spread(&context.with_steps, micros)?);
        Ok((with_steps.p50 - alone.p50) / ASIDE as f64)
    };
    let [small, big] = times;
    Ok(Figure::value("a step with `context: none` beside 1 MB", Unit::Micros, each(big)?)
        .over("beside 1 KB", each(small)?)
        .ratio_at_most(AS_MUCH))
}

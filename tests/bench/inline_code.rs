//! Inline code right after a start: nothing is warm but the cache of compiled plugins.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stepcell_core::Json;

use crate::{
    bed::Bed,
    effort::Effort,
    figure::{Figure, Unit},
    stats::{Spread, millis, spread},
};

/// Runs that count as right after the start.
const RUNS: usize = 50;

struct Language {
    name: &'static str,
    code: &'static str,
    /// What the p50 has to stay below, in milliseconds.
    target: f64,
}

const LANGUAGES: [Language; 2] = [
    Language {
        name: "python",
        code: "result = {'total': input['count'] * input['price'], 'sku': input['sku'].lower()}",
        target: 4.0,
    },
    Language {
        name: "javascript",
        code: "return { total: input.count * input.price, sku: input.sku.toLowerCase() };",
        target: 0.8,
    },
];

#[derive(Default)]
struct Times {
    bare: Vec<Duration>,
    first: Vec<Duration>,
    runs: Vec<Duration>,
}

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for language in &LANGUAGES {
        let mut times = Times::default();
        // The first start may compile; its times are dropped.
        start(language, &mut Times::default()).await?;
        // Each with a sandbox and an engine of its own.
        for _ in 0..effort.of(10, 2) {
            start(language, &mut times).await?;
        }
        figures.extend(language.figures(&times)?);
    }
    Ok(figures)
}

async fn start(language: &Language, times: &mut Times) -> Result<()> {
    let bed = Bed::start().await?;
    let input: Json = json!({ "sku": "LAMP", "price": 2.5, "count": 2 }).into();
    let plan = bed.plan(&language.flow())?;
    times.first.push(bed.run(&plan, &input).await?);
    times.runs.extend(bed.runs(&plan, &input, RUNS).await?);
    let work = bed.work("inline_code", &language.config(input.value().clone()), &input)?;
    times.bare.extend(bed.bare(&work, RUNS).await?);
    bed.stop().await;
    Ok(())
}

impl Language {
    fn config(&self, input: Value) -> Value {
        json!({ "language": self.name, "code": self.code, "input": input })
    }

    fn flow(&self) -> Value {
        json!({
            "name": self.name,
            "steps": [{ "id": "a", "type": "inline_code", "config": self.config(json!("{{ input }}")) }],
        })
    }

    fn figures(&self, times: &Times) -> Result<[Figure; 3]> {
        let [bare, first, runs]: [Spread; 3] =
            [spread(&times.bare, millis)?, spread(&times.first, millis)?, spread(&times.runs, millis)?];
        Ok([
            Figure::spread(format!("bare wasmtime loop, {}", self.name), Unit::Millis, bare),
            Figure::spread(format!("the first run of {} after a start", self.name), Unit::Millis, first)
                .over("bare", bare.p50),
            Figure::spread(format!("a run of one step in {}", self.name), Unit::Millis, runs)
                .at_most(self.target)
                .over("bare", bare.p50),
        ])
    }
}

//! Computing in steps, on a served host with real syncs, beside plain processes that compute the same.

use std::{
    fs,
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use stepcell_core::Json;
use stepcell_sandbox::Options;
use stepcell_tests::Host;

use crate::{
    bed::Bed,
    client::{Call, Client, alone, json as parsed, metric},
    durable::succeeded,
    effort::Effort,
    fibo::fibo,
    figure::{Figure, Unit},
    flows,
    processes::{Program, Warm, native},
    stats::{median, millis, seconds, spread},
};

/// Steps, or calls of a process, one after the other.
const STEPS: usize = 40;
/// A moment's work, so that the figure is what a step costs.
const LIGHT: u32 = 10;
/// Some tens of milliseconds' work, so that the figure is how fast a step computes.
const HEAVY: u32 = 33;
const HEAVY_STEPS: usize = 10;
/// Items of the fan-out.
const ITEMS: usize = 400;

struct Language {
    name: &'static str,
    step: fn() -> Value,
    /// Where the number stands in a step's output.
    number: &'static str,
    /// What a run may take, in seconds.
    most: f64,
    /// Not for Rust: its process is this program.
    program: Option<Program>,
}

const LANGUAGES: [Language; 3] = [
    Language {
        name: "Rust",
        step: || json!({ "type": "fibo", "config": { "n": LIGHT } }),
        number: "",
        most: 0.02,
        program: None,
    },
    Language {
        name: "JavaScript",
        step: || {
            let code = "const fibo = n => n < 2 ? n : fibo(n - 1) + fibo(n - 2); return fibo(10);";
            json!({ "type": "inline_code", "config": { "language": "javascript", "code": code } })
        },
        number: "/result",
        most: 0.1,
        program: Some(Program::NODE),
    },
    Language {
        name: "Python",
        step: || {
            let code =
                "def fibo(n):\n    return n if n < 2 else fibo(n - 1) + fibo(n - 2)\nresult = fibo(10)";
            json!({ "type": "inline_code", "config": { "language": "python", "code": code } })
        },
        number: "/result",
        most: 0.3,
        program: Some(Program::PYTHON),
    },
];

pub(crate) async fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let host = Host::builder().guest("fibo").start().await;
    let mut figures = Vec::new();
    for language in &LANGUAGES {
        figures.extend(language.measure(&host, effort).await?);
    }
    figures.extend(heavy(&host, effort).await?);
    figures.push(fan_out(&host, effort).await?);
    Ok(figures)
}

impl Language {
    async fn measure(&self, host: &Host, effort: Effort) -> Result<Vec<Figure>> {
        let call = call(host, &row(STEPS, &(self.step)()));
        check(&call, &format!("/steps/s{}/output{}", STEPS - 1, self.number), fibo(LIGHT)).await?;
        let mut warm = self.program.as_ref().map(Warm::start).transpose()?;
        let (mut runs, mut lines, mut processes) = (Vec::new(), Vec::new(), Vec::new());
        let before = syncs(host).await?;
        for _ in 0..effort.of(5, 1) {
            runs.extend(call.one_by_one(effort.of(5, 2)).await?);
            if let Some(warm) = &mut warm {
                lines.push(warm.calls(STEPS, LIGHT)?);
            }
            processes.push(match &self.program {
                Some(program) => program.processes(STEPS, LIGHT)?,
                None => native(STEPS, LIGHT)?,
            });
        }
        let syncs = (syncs(host).await? - before) / runs.len() as f64;
        let what = format!("{STEPS} × fibo({LIGHT}) as steps in {}", self.name);
        let figure = || -> Result<Figure> {
            Ok(Figure::spread(&what, Unit::Seconds, spread(&runs, seconds)?).at_most(self.most))
        };
        let program = self.program.as_ref().map_or("native", |program| program.name);
        let each = spread(&processes, seconds)?.p50;
        let mut figures = vec![figure()?.over(format!("{program}, a process per call"), each)];
        if !lines.is_empty() {
            let warm = spread(&lines, seconds)?.p50;
            figures.push(figure()?.over(format!("{program}, one warm process"), warm));
        }
        Ok(figures.into_iter().map(|figure| figure.syncs(syncs, None)).collect())
    }
}

/// How much slower a step computes than the same function in this program, at the same level of optimisation, and than
/// a bare call: what lies between those two is the price of wasm with fuel and epochs, and not the host's.
async fn heavy(host: &Host, effort: Effort) -> Result<[Figure; 2]> {
    let step = json!({ "type": "fibo", "config": { "n": HEAVY } });
    let call = call(host, &row(HEAVY_STEPS, &step));
    check(&call, &format!("/steps/s{}/output", HEAVY_STEPS - 1), fibo(HEAVY)).await?;
    let plugins = tempfile::tempdir()?;
    fs::copy(stepcell_tests::guest("fibo"), plugins.path().join("fibo.wasm"))?;
    let bed = Bed::with(|options| Options { folders: vec![plugins.path().to_owned()], ..options }).await?;
    let work = bed.work("fibo", &json!({ "n": HEAVY }), &Json::from(json!({})))?;
    let (mut runs, mut bare, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let before = syncs(host).await?;
    for _ in 0..effort.of(7, 1) {
        runs.extend(call.one_by_one(1).await?);
        bare.push(bed.bare(&work, HEAVY_STEPS).await?.iter().sum());
        let started = Instant::now();
        for _ in 0..HEAVY_STEPS {
            black_box(fibo(black_box(HEAVY)));
        }
        plain.push(started.elapsed());
    }
    bed.stop().await;
    let syncs = (syncs(host).await? - before) / runs.len() as f64;
    let (runs, bare, plain) = (spread(&runs, millis)?, spread(&bare, millis)?, spread(&plain, millis)?);
    let what = format!("{HEAVY_STEPS} × fibo({HEAVY}) as steps in Rust");
    Ok([
        Figure::spread(&what, Unit::Millis, runs)
            .over("as many bare wasmtime calls", bare.p50)
            .syncs(syncs, None),
        Figure::spread(&what, Unit::Millis, runs)
            .over("native, in one process", plain.p50)
            .ratio_at_most(1.5)
            .syncs(syncs, None),
    ])
}

/// Many light items of one step, beside as many bare calls of what they call.
async fn fan_out(host: &Host, effort: Effort) -> Result<Figure> {
    let what = format!("{ITEMS} light tasks in one `for_each`");
    let body = json!({ "type": "transform", "config": { "output": "{{ item }}" } });
    let config = json!({ "items": "{{ input.items }}", "step_config": body });
    let flow = json!({ "name": "light", "steps": [{ "id": "m", "type": "for_each", "config": config }] });
    let call = Call {
        body: flows::submission(&flow, &json!({ "items": (0..ITEMS).collect::<Vec<_>>() })),
        ..call(host, &flow)
    };
    check(&call, "/steps/m/output/count", ITEMS as u64).await?;
    let bed = Bed::start().await?;
    let work = bed.work("transform", &json!({ "output": 7 }), &Json::from(json!({})))?;
    let (mut runs, mut bare) = (Vec::new(), Vec::new());
    let before = syncs(host).await?;
    for _ in 0..effort.of(10, 2) {
        runs.extend(call.one_by_one(2).await?);
        bare.push(bed.bare(&work, ITEMS).await?.iter().sum::<Duration>().as_secs_f64());
    }
    bed.stop().await;
    let syncs = (syncs(host).await? - before) / runs.len() as f64;
    Ok(Figure::spread(what, Unit::Seconds, spread(&runs, seconds)?)
        .over("as many bare wasmtime calls", median(&bare)?)
        .at_most(0.2)
        .syncs(syncs, None))
}

/// Steps one after the other, all the same.
fn row(steps: usize, step: &Value) -> Value {
    let step = |index: usize| {
        let after: Vec<String> =
            index.checked_sub(1).map(|before| format!("s{before}")).into_iter().collect();
        let mut all = json!({ "id": format!("s{index}"), "after": after });
        if let (Some(all), Some(step)) = (all.as_object_mut(), step.as_object()) {
            all.extend(step.clone());
        }
        all
    };
    json!({ "name": format!("row-of-{steps}"), "steps": (0..steps).map(step).collect::<Vec<_>>() })
}

fn call(host: &Host, flow: &Value) -> Call {
    Call {
        url: host.url.clone(),
        path: "/api/v1/runs?wait=60s".to_owned(),
        body: flows::submission(flow, &json!({})),
        check: succeeded,
    }
}

/// Calls once, so that everything is warm, and looks at what was computed.
async fn check(call: &Call, pointer: &str, expected: u64) -> Result<()> {
    let call = call.clone();
    let body =
        alone(async move { Client::connect(&call.url).await?.post(&call.path, call.body).await }).await?;
    let run = parsed(&body)?;
    if let Some(error) = run.pointer("/error/message").and_then(Value::as_str) {
        bail!("{error}");
    }
    let computed = run.pointer(pointer).with_context(|| format!("no {pointer} in {run}"))?;
    ensure!(*computed == expected, "{computed} was computed, and not {expected}");
    Ok(())
}

async fn syncs(host: &Host) -> Result<f64> {
    metric(&host.url, "stepcell_store_syncs_total", "").await
}

//! One thing that was measured.

use serde::Serialize;

use crate::stats::Spread;

/// A row of the table, and an entry of `bench.json`.
#[derive(Serialize)]
pub(crate) struct Figure {
    what: String,
    unit: Unit,
    pub(crate) measured: Measured,
    pub(crate) target: Option<Target>,
    pub(crate) floor: Option<Floor>,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "µs")]
    Micros,
    #[serde(rename = "ms")]
    Millis,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "connections")]
    Connections,
}

/// In the figure's unit.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measured {
    /// Of many times.
    Spread(Spread),
    /// One value, such as a difference or an amount of memory.
    Value(f64),
}

/// What has to be reached: the figure is below it.
#[derive(Serialize)]
pub(crate) struct Target {
    pub(crate) below: f64,
    pub(crate) of: Of,
    /// Whether it is reached.
    pub(crate) met: bool,
}

/// Which part of a spread a target is about.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of {
    P50,
    P99,
    Value,
}

/// What the same work takes with nothing around it, measured in the same run.
#[derive(Serialize)]
pub(crate) struct Floor {
    what: &'static str,
    value: f64,
    /// How many times the floor the figure is, p50 to p50.
    pub(crate) ratio: f64,
}

impl Figure {
    pub(crate) fn spread(what: impl Into<String>, unit: Unit, spread: Spread) -> Self {
        Self::new(what, unit, Measured::Spread(spread))
    }

    pub(crate) fn value(what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self::new(what, unit, Measured::Value(value))
    }

    fn new(what: impl Into<String>, unit: Unit, measured: Measured) -> Self {
        Self { what: what.into(), unit, measured, target: None, floor: None }
    }

    /// The p50, or the one value, has to be below this.
    pub(crate) fn below(self, below: f64) -> Self {
        let of = match self.measured {
            Measured::Spread(_) => Of::P50,
            Measured::Value(_) => Of::Value,
        };
        self.target(below, of)
    }

    /// The p99 has to be below this.
    pub(crate) fn p99_below(self, below: f64) -> Self {
        self.target(below, Of::P99)
    }

    fn target(mut self, below: f64, of: Of) -> Self {
        let seen = match (self.measured, of) {
            (Measured::Spread(spread), Of::P99) => spread.p99,
            (Measured::Spread(spread), _) => spread.p50,
            (Measured::Value(value), _) => value,
        };
        self.target = Some(Target { below, of, met: seen < below });
        self
    }

    /// Sets the figure in relation to a floor in the same unit.
    pub(crate) fn over(mut self, what: &'static str, floor: f64) -> Self {
        self.floor = Some(Floor { what, value: floor, ratio: self.middle() / floor });
        self
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn unit(&self) -> &'static str {
        match self.unit {
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Megabytes => "MB",
            Unit::Connections => "connections",
        }
    }

    fn middle(&self) -> f64 {
        match self.measured {
            Measured::Spread(spread) => spread.p50,
            Measured::Value(value) => value,
        }
    }
}

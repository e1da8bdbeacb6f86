//! One thing that was measured.

use serde::Serialize;

use crate::stats::Spread;

/// A row of the table, and an entry of `bench.json`.
#[derive(Serialize)]
pub(crate) struct Figure {
    what: String,
    unit: Unit,
    pub(crate) measured: Measured,
    pub(crate) against: Option<Against>,
    pub(crate) target: Option<Target>,
    /// How often our store waited for the disk, for each run.
    pub(crate) syncs_per_run: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "µs")]
    Micros,
    #[serde(rename = "ms")]
    Millis,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "bytes")]
    Bytes,
    #[serde(rename = "runs/s")]
    RunsPerSecond,
    #[serde(rename = "syncs/run")]
    SyncsPerRun,
    #[serde(rename = "connections")]
    Connections,
}

/// In the figure's unit.
#[derive(Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measured {
    /// Of many times.
    Spread(Spread),
    /// One value, such as a difference, an amount of memory, or the median of what each round gave.
    Value(f64),
}

/// What has to be reached.
#[derive(Serialize)]
pub(crate) struct Target {
    pub(crate) of: Of,
    pub(crate) bound: Bound,
    /// Whether it is reached.
    pub(crate) met: bool,
}

/// Which part of a figure a target or a ratio is about.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of {
    P50,
    P99,
    Value,
    /// How many times the rival the figure is.
    Ratio,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A rival's way of doing the same work, or what the work takes with nothing around it: measured in the same run.
#[derive(Serialize)]
pub(crate) struct Against {
    pub(crate) what: String,
    pub(crate) of: Of,
    pub(crate) value: f64,
    /// How many times that the figure is.
    pub(crate) ratio: f64,
    pub(crate) syncs_per_run: Option<f64>,
}

impl Figure {
    pub(crate) fn spread(what: impl Into<String>, unit: Unit, spread: Spread) -> Self {
        Self::new(what, unit, Measured::Spread(spread))
    }

    pub(crate) fn value(what: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self::new(what, unit, Measured::Value(value))
    }

    fn new(what: impl Into<String>, unit: Unit, measured: Measured) -> Self {
        Self { what: what.into(), unit, measured, against: None, target: None, syncs_per_run: None }
    }

    /// The p50, or the one value, has to be at most this.
    pub(crate) fn at_most(self, most: f64) -> Self {
        let of = self.middle_is();
        self.target(of, Bound::AtMost(most))
    }

    /// The p99 has to be at most this.
    pub(crate) fn p99_at_most(self, most: f64) -> Self {
        self.target(Of::P99, Bound::AtMost(most))
    }

    /// The figure has to be at most this many times what it is set against.
    pub(crate) fn ratio_at_most(self, most: f64) -> Self {
        self.target(Of::Ratio, Bound::AtMost(most))
    }

    /// The figure has to be at least this many times what it is set against.
    pub(crate) fn ratio_at_least(self, least: f64) -> Self {
        self.target(Of::Ratio, Bound::AtLeast(least))
    }

    /// A ratio to nothing is not met.
    fn target(mut self, of: Of, bound: Bound) -> Self {
        let met = self.part(of).is_some_and(|seen| match bound {
            Bound::AtMost(most) => seen <= most,
            Bound::AtLeast(least) => seen >= least,
        });
        self.target = Some(Target { of, bound, met });
        self
    }

    /// Sets the figure's middle in relation to that of a rival or a floor, in the same unit.
    pub(crate) fn over(self, what: impl Into<String>, value: f64) -> Self {
        let of = self.middle_is();
        self.set_against(what, of, value)
    }

    /// Sets the figure's p99 in relation to another one.
    pub(crate) fn p99_over(self, what: impl Into<String>, value: f64) -> Self {
        self.set_against(what, Of::P99, value)
    }

    fn set_against(mut self, what: impl Into<String>, of: Of, value: f64) -> Self {
        if let Some(ours) = self.part(of) {
            let ratio = ours / value;
            self.against = Some(Against { what: what.into(), of, value, ratio, syncs_per_run: None });
        }
        self
    }

    /// How often the store waited for the disk for each run, ours and, where it is known, the rival's.
    pub(crate) fn syncs(mut self, ours: f64, rival: Option<f64>) -> Self {
        self.syncs_per_run = Some(ours);
        if let Some(against) = &mut self.against {
            against.syncs_per_run = rival;
        }
        self
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn unit(&self) -> &'static str {
        match self.unit {
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Seconds => "s",
            Unit::Megabytes => "MB",
            Unit::Bytes => "bytes",
            Unit::RunsPerSecond => "runs/s",
            Unit::SyncsPerRun => "syncs/run",
            Unit::Connections => "connections",
        }
    }

    fn middle_is(&self) -> Of {
        match self.measured {
            Measured::Spread(_) => Of::P50,
            Measured::Value(_) => Of::Value,
        }
    }

    fn part(&self, of: Of) -> Option<f64> {
        match (&self.measured, of) {
            (_, Of::Ratio) => self.against.as_ref().map(|against| against.ratio),
            (Measured::Spread(spread), Of::P99) => Some(spread.p99),
            (Measured::Spread(spread), _) => Some(spread.p50),
            (Measured::Value(value), _) => Some(*value),
        }
    }
}

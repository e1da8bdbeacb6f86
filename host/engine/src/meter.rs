//! What a run has used of its budget, counted while its steps are at work.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use stepcell_core::{Budget, Failure, Fault, event::Receipt};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Fuel,
    Requests,
    Bytes,
    Rows,
    Tokens,
}

/// One run's budget. Steps at work share it; each takes before it uses, so that they do not overdraw it together.
#[derive(Debug)]
pub struct Meter {
    budget: Budget,
    used: [AtomicU64; 5],
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    pub resource: Resource,
    pub budget: u64,
}

impl Meter {
    /// `used` is what the run's log says, where it was driven before.
    pub fn new(budget: Budget, used: &Receipt) -> Self {
        let used = [
            used.fuel,
            used.requests,
            used.sent_bytes.saturating_add(used.received_bytes),
            used.rows,
            used.tokens,
        ];
        Self { budget, used: used.map(AtomicU64::new) }
    }

    /// A meter without a budget.
    pub fn unlimited() -> Self {
        Self::new(Budget::default(), &Receipt::default())
    }

    /// How much may still be used; `u64::MAX` where nobody counts.
    pub fn left(&self, resource: Resource) -> u64 {
        match self.budget_of(resource) {
            Some(budget) => budget.saturating_sub(self.used_of(resource).load(Relaxed)),
            None => u64::MAX,
        }
    }

    /// Takes an amount. Where it does not fit, the rest is taken and the budget is used up: whoever comes next
    /// gets nothing either.
    pub fn take(&self, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        let before = self.used_of(resource).fetch_add(amount, Relaxed);
        match self.budget_of(resource) {
            Some(budget) if before.saturating_add(amount) > budget => Err(Exhausted { resource, budget }),
            _ => Ok(()),
        }
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&self, resource: Resource, amount: u64) {
        self.used_of(resource).fetch_sub(amount, Relaxed);
    }

    /// The first budget of which more was asked for than there is.
    pub fn overdrawn(&self) -> Option<Exhausted> {
        Resource::ALL.into_iter().find_map(|resource| {
            let budget = self.budget_of(resource)?;
            let used = self.used_of(resource).load(Relaxed);
            (used > budget).then_some(Exhausted { resource, budget })
        })
    }

    fn budget_of(&self, resource: Resource) -> Option<u64> {
        let Budget { fuel, requests, bytes, rows, tokens } = self.budget;
        match resource {
            Resource::Fuel => fuel,
            Resource::Requests => requests,
            Resource::Bytes => bytes,
            Resource::Rows => rows,
            Resource::Tokens => tokens,
        }
    }

    fn used_of(&self, resource: Resource) -> &AtomicU64 {
        let [fuel, requests, bytes, rows, tokens] = &self.used;
        match resource {
            Resource::Fuel => fuel,
            Resource::Requests => requests,
            Resource::Bytes => bytes,
            Resource::Rows => rows,
            Resource::Tokens => tokens,
        }
    }
}

impl Resource {
    const ALL: [Self; 5] = [Self::Fuel, Self::Requests, Self::Bytes, Self::Rows, Self::Tokens];
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fuel => "fuel",
            Self::Requests => "requests",
            Self::Bytes => "bytes",
            Self::Rows => "rows",
            Self::Tokens => "tokens",
        })
    }
}

impl Exhausted {
    /// The failure that ends the run.
    pub fn failure(self) -> Failure {
        let Self { resource, budget } = self;
        let message = format!("the run used up its budget of {budget} for {resource}");
        Failure::system(Fault::Limit, "budget_exhausted", message).with_hint(format!(
            "raise `budget.{resource}` of the flow, or in stepcell.yaml where it is the operator's"
        ))
    }
}

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
        let add = |used: u64| Some(used.saturating_add(amount));
        let used = self.used_of(resource).fetch_update(Relaxed, Relaxed, add);
        let before = used.unwrap_or_else(|used| used);
        match self.budget_of(resource) {
            Some(budget) if before.saturating_add(amount) > budget => Err(Exhausted { resource, budget }),
            _ => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(requests: u64, used: u64) -> Meter {
        let budget = Budget { requests: Some(requests), ..Budget::default() };
        Meter::new(budget, &Receipt { requests: used, ..Receipt::default() })
    }

    #[test]
    fn what_the_log_says_counts() {
        let meter = meter(10, 7);
        assert_eq!(meter.left(Resource::Requests), 3);
        assert_eq!(meter.left(Resource::Rows), u64::MAX);
    }

    #[test]
    fn the_last_unit_may_be_used_and_no_more() {
        let meter = meter(2, 0);
        assert_eq!(meter.take(Resource::Requests, 2), Ok(()));
        assert_eq!(meter.overdrawn(), None);
        let exhausted = Exhausted { resource: Resource::Requests, budget: 2 };
        assert_eq!(meter.take(Resource::Requests, 1), Err(exhausted));
        assert_eq!(meter.overdrawn(), Some(exhausted));
        let failure = exhausted.failure();
        assert_eq!((failure.fault, failure.code.as_deref()), (Fault::Limit, Some("budget_exhausted")));
        assert!(failure.hint.unwrap().contains("`budget.requests`"));
    }

    #[test]
    fn many_takers_do_not_overdraw_together() {
        let meter = meter(1_000, 0);
        let taken: u64 = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let takes = (0..200).map(|_| meter.take(Resource::Requests, 1));
                        takes.filter(Result::is_ok).count() as u64
                    })
                })
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn amounts_without_end_do_not_wrap() {
        let meter = meter(5, 0);
        assert!(meter.take(Resource::Requests, u64::MAX).is_err());
        assert!(meter.take(Resource::Requests, 1).is_err());
        assert_eq!(meter.left(Resource::Requests), 0);
    }
}

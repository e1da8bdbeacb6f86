//! What is written: events with what is derived from them.

use jiff::Timestamp;
use stepcell_core::{Event, RunId, StepId};

use crate::{BlobRef, Claim, Error, RunSummary, WaitChange, run::FLOW_BYTES_MAX};

/// Events to add to the end of a run, with what is derived from them. Applied whole or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    pub run: RunId,
    /// The last `seq` the writer knows of; 0 for a new run. The append is refused where the run has gone on.
    pub expected: u64,
    /// Never empty; `seq` goes on from `expected` without gaps.
    pub events: Vec<Event>,
    /// The run's entry in listings, as it is after these events.
    pub summary: RunSummary,
    /// Applied in this order. Changes of a timer go by `due`: the writer clears the old one before it sets
    /// another, so that a backend needs no index by step. The events that end a run come with the changes that
    /// clear all its timers.
    pub timers: Vec<TimerChange>,
    /// Applied in this order. The events that end a run come with the changes that clear all its waits.
    pub waits: Vec<WaitChange>,
    /// Of a new run only. Refused with [`Error::Claimed`] where another run has the key.
    pub claim: Option<Claim>,
    /// The blobs that the events name; the run holds them from now on.
    pub blobs: Vec<BlobRef>,
}

impl Append {
    /// Refuses what no backend may take: no events, a gap, a summary of another `seq` or with an endless name, and
    /// a claim that comes late.
    pub fn check(&self) -> Result<(), Error> {
        let malformed = |reason| Err(Error::Malformed { run: self.run, reason });
        if self.events.is_empty() {
            return malformed("it has no events".to_owned());
        }
        let mut last = self.expected;
        for event in &self.events {
            if event.seq != last.saturating_add(1) {
                return malformed(format!("event {} follows event {last}", event.seq));
            }
            last = event.seq;
        }
        if self.summary.seq != last {
            let said = self.summary.seq;
            return malformed(format!("the summary is of event {said}, the last event is {last}"));
        }
        if self.claim.is_some() && self.expected != 0 {
            return malformed(format!(
                "a claim comes with a run's first event, not with event {}",
                self.expected + 1
            ));
        }
        if self.summary.flow.len() > FLOW_BYTES_MAX {
            return malformed(format!("the flow's name is longer than {FLOW_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// Whether the run, which is at event `found`, is where the writer believes it to be.
    pub fn fits(&self, found: u64) -> Result<(), Error> {
        if found == self.expected {
            Ok(())
        } else {
            Err(Error::Conflict { run: self.run, expected: self.expected, found })
        }
    }
}

/// Sets or clears the one timer of a step, or of the run itself where `step` is none. Setting what is set, or clearing what is not, changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum TimerChange {
    Set { step: Option<StepId>, due: Timestamp },
    Clear { step: Option<StepId>, due: Timestamp },
}

/// A timer. Sorts by when it is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    pub due: Timestamp,
    pub run: RunId,
    /// None for the run itself: its deadline.
    pub step: Option<StepId>,
}

//! A refusal: what the run's log keeps of it, and what the cell hears.

use stepcell_core::event::CapabilityDenied;

use super::Session;
use crate::access::{Access, Refuser};

/// Something that a step asked for and did not get.
pub(crate) struct Refusal<'a> {
    /// `database`, `email`, …
    pub(crate) capability: &'a str,
    /// What was asked for, as messages name it.
    pub(crate) target: &'a str,
    /// Why not, without the target.
    pub(crate) reason: String,
    /// The lines that would allow it; empty where none can.
    pub(crate) allow: String,
}

impl Session {
    /// Keeps a refusal for the run's log; gives what the cell hears of it.
    pub(crate) fn refuse(&mut self, refusal: Refusal<'_>) -> String {
        let Refusal { capability, target, reason, allow } = refusal;
        let heard = format!("`{target}` is refused: {reason}");
        self.deny(CapabilityDenied {
            capability: capability.to_owned(),
            target: target.to_owned(),
            message: reason,
            allow,
        });
        heard
    }
}

impl Access {
    /// Who does not admit `what`, as a sentence.
    pub(crate) fn reason(&self, refuser: Refuser, what: &str) -> String {
        match refuser {
            Refuser::Operator => format!("no grant of `{}` admits {what}", self.kind),
            Refuser::Narrowing(0) => format!("the flow's own `grants` do not admit {what}"),
            Refuser::Narrowing(_) => format!("the step's own `grants` do not admit {what}"),
        }
    }
}

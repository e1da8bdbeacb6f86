//! The prepared statements of a connection, so that a repeated one costs the server no planning and the host no
//! round trip.

use std::collections::HashMap;

use tokio_postgres::Statement;

/// Of one connection: protects the server's memory, which holds a plan for each. The one that was not used for the
/// longest time goes.
const STATEMENTS_MAX: usize = 64;

/// Longer texts are prepared each time: a text that long was made for one use.
const TEXT_MAX: usize = 16 << 10;

#[derive(Default)]
pub(in super::super) struct Statements {
    known: HashMap<Box<str>, Known>,
    /// Counts uses.
    clock: u64,
}

struct Known {
    statement: Statement,
    used: u64,
}

impl Statements {
    pub(in super::super) fn get(&mut self, text: &str) -> Option<Statement> {
        let known = self.known.get_mut(text)?;
        self.clock += 1;
        known.used = self.clock;
        Some(known.statement.clone())
    }

    pub(in super::super) fn keep(&mut self, text: &str, statement: &Statement) {
        if text.len() > TEXT_MAX {
            return;
        }
        if self.known.len() >= STATEMENTS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used);
            if let Some(text) = oldest.map(|(text, _)| text.clone()) {
                self.known.remove(&text);
            }
        }
        self.clock += 1;
        self.known.insert(text.into(), Known { statement: statement.clone(), used: self.clock });
    }

    pub(in super::super) fn forget(&mut self, text: &str) {
        self.known.remove(text);
    }

    /// Where tables or types were changed.
    pub(in super::super) fn clear(&mut self) {
        self.known.clear();
    }
}

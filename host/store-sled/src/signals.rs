//! The rows of waits and kept events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sled::IVec;
use stepcell_core::{Json, RunId, StepId};
use stepcell_store::{Error, KeptEvent, Taken, Waiter};

use crate::{
    error, keys,
    parts::{self, VALUE_MAX},
};

/// Encodes a wait. What it has to match is left out where a row can not hold it.
pub(crate) fn wait(step: &StepId, matching: Option<&Value>) -> Result<IVec, serde_json::Error> {
    let whole = serde_json::to_vec(&WaitRow { step, matching, large: false })?;
    if whole.len() <= VALUE_MAX {
        return Ok(IVec::from(whole));
    }
    serde_json::to_vec(&WaitRow::<_, &Value> { step, matching: None, large: true }).map(IVec::from)
}

/// Reads what [`wait`] has written.
pub(crate) fn waiter(run: RunId, row: &[u8]) -> Result<Waiter, Error> {
    let row: WaitRow<StepId, Value> =
        serde_json::from_slice(row).map_err(|e| error::damaged(format_args!("a wait of run {run}"), &e))?;
    Ok(Waiter { run, step: row.step, matching: row.matching, large: row.large })
}

/// Encodes an event, but for whom it has woken: that changes.
pub(crate) fn event(event: &KeptEvent) -> Result<Vec<IVec>, serde_json::Error> {
    let KeptEvent { name, id, at, until, payload, by, taken: _ } = event;
    let row = EventRow { name, id, at: *at, until: *until, payload, by: by.as_ref() };
    Ok(parts::rows(&serde_json::to_vec(&row)?))
}

/// Reads what [`event`] has written.
pub(crate) fn kept_event(bytes: &[u8], taken: Taken) -> Result<KeptEvent, Error> {
    let EventRow { name, id, at, until, payload, by }: EventRow<String, Json> =
        serde_json::from_slice(bytes).map_err(|e| error::damaged("a kept event", &e))?;
    Ok(KeptEvent { name, id, at, until, payload, by, taken })
}

/// What changes of an event, and what finds its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kept {
    pub(crate) at: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) taken: Taken,
}

const NOBODY: u8 = 0;
const BY_RUN: u8 = 1;
const BY_ALL: u8 = 2;

impl Kept {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = [keys::instant(self.at), keys::instant(self.until)].concat();
        match self.taken {
            Taken::Nobody => row.push(NOBODY),
            Taken::All => row.push(BY_ALL),
            Taken::Run(run) => {
                row.push(BY_RUN);
                row.extend(run.as_bytes());
            }
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Result<Self, Error> {
        let read = || {
            let (at, rest) = row.split_first_chunk::<16>()?;
            let (until, rest) = rest.split_first_chunk::<16>()?;
            let taken = match rest.split_first()? {
                (&NOBODY, []) => Taken::Nobody,
                (&BY_ALL, []) => Taken::All,
                (&BY_RUN, run) => Taken::Run(RunId::from_bytes(run.try_into().ok()?)),
                _ => return None,
            };
            Some(Self { at: keys::read_instant(at)?, until: keys::read_instant(until)?, taken })
        };
        read().ok_or_else(|| error::damaged("a kept event", &"its row can not be read"))
    }
}

#[derive(Serialize, Deserialize)]
struct WaitRow<S, M> {
    step: S,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    matching: Option<M>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    large: bool,
}

#[derive(Serialize, Deserialize)]
struct EventRow<S, J> {
    name: S,
    id: S,
    at: Timestamp,
    until: Timestamp,
    payload: J,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    by: Option<S>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_event_has_woken_comes_back() {
        for taken in [Taken::Nobody, Taken::All, Taken::Run(RunId::from_bytes([7; 16]))] {
            let kept = Kept { at: Timestamp::MIN, until: Timestamp::MAX, taken };
            assert_eq!(Kept::decode(&kept.encode()).unwrap(), kept);
        }
        assert!(Kept::decode(&[0; 32]).is_err());
        assert!(Kept::decode(&[0; 34]).is_err());
    }

    #[test]
    fn a_wait_fits_into_a_row() {
        let (run, step) = (RunId::from_bytes([7; 16]), StepId::new("a").unwrap());
        let small = json!({"order": 1});
        let found = waiter(run, &wait(&step, Some(&small)).unwrap()).unwrap();
        assert_eq!(found, Waiter { run, step: step.clone(), matching: Some(small), large: false });
        let row = wait(&step, Some(&json!("x".repeat(VALUE_MAX)))).unwrap();
        assert!(row.len() <= VALUE_MAX);
        assert_eq!(waiter(run, &row).unwrap(), Waiter { run, step, matching: None, large: true });
    }
}

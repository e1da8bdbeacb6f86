//! The row of a run: its entry in listings, in a few bytes, since every run has one for as long as it is kept.
//!
//! The version of this form, the status, the last event's number, when it was created, whether and when it ended,
//! and the flow's name.

use jiff::Timestamp;
use stepcell_store::RunSummary;

use crate::keys;

const VERSION: u8 = 1;
const GOES_ON: u8 = 0;
const ENDED: u8 = 1;

pub(crate) fn encode(summary: &RunSummary) -> Vec<u8> {
    let RunSummary { flow, status, created_at, finished_at, seq } = summary;
    let mut row = vec![VERSION, keys::status_byte(*status)];
    row.extend(seq.to_be_bytes());
    put_instant(&mut row, *created_at);
    match finished_at {
        None => row.push(GOES_ON),
        Some(at) => {
            row.push(ENDED);
            put_instant(&mut row, *at);
        }
    }
    row.extend(flow.as_bytes());
    row
}

/// `None` for what is no such row.
pub(crate) fn decode(row: &[u8]) -> Option<RunSummary> {
    let (&[VERSION, status], rest) = row.split_first_chunk()? else { return None };
    let (seq, rest) = rest.split_first_chunk()?;
    let (created_at, rest) = take_instant(rest)?;
    let (finished_at, flow) = match rest.split_first()? {
        (&GOES_ON, rest) => (None, rest),
        (&ENDED, rest) => take_instant(rest).map(|(at, rest)| (Some(at), rest))?,
        _ => return None,
    };
    Some(RunSummary {
        flow: str::from_utf8(flow).ok()?.to_owned(),
        status: keys::status_of(status)?,
        created_at,
        finished_at,
        seq: u64::from_be_bytes(*seq),
    })
}

fn put_instant(row: &mut Vec<u8>, at: Timestamp) {
    row.extend(at.as_second().to_be_bytes());
    row.extend(at.subsec_nanosecond().to_be_bytes());
}

fn take_instant(row: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (seconds, rest) = row.split_first_chunk()?;
    let (nanos, rest) = rest.split_first_chunk()?;
    let at = Timestamp::new(i64::from_be_bytes(*seconds), i32::from_be_bytes(*nanos)).ok()?;
    Some((at, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stepcell_store::RunStatus;

    use super::*;

    fn instant() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond())
            .prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap())
    }

    fn status() -> impl Strategy<Value = RunStatus> {
        use RunStatus::{Cancelled, Failed, Queued, Running, Succeeded, Waiting};
        prop::sample::select(vec![Queued, Running, Waiting, Succeeded, Failed, Cancelled])
    }

    proptest! {
        #[test]
        fn a_summary_comes_back(
            flow: String, status in status(), created_at in instant(), finished_at in prop::option::of(instant()), seq: u64
        ) {
            let summary = RunSummary { flow, status, created_at, finished_at, seq };
            prop_assert_eq!(decode(&encode(&summary)), Some(summary));
        }

        #[test]
        fn no_bytes_break_it(row: Vec<u8>) {
            if let Some(summary) = decode(&row) {
                prop_assert_eq!(decode(&encode(&summary)), Some(summary));
            }
        }
    }
}

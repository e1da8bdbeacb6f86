//! Room in memory for blobs on their way in or out.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use stepcell_engine::MAX_BLOB_BYTES;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    limits::{BLOB_BYTES_IN_TRANSFER_MAX, TRANSFER_WAIT},
    problem::{Problem, Result},
};

/// Bytes of one permit: a semaphore counts fewer permits than there are bytes.
const PERMIT_BYTES: usize = 1 << 10;

/// Cheap to clone; all clones share the room.
#[derive(Clone)]
pub(crate) struct Transfers(Arc<Semaphore>);

/// Room for one blob, given back when it is dropped.
pub(crate) struct Room(OwnedSemaphorePermit);

impl Default for Transfers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BLOB_BYTES_IN_TRANSFER_MAX / PERMIT_BYTES)))
    }
}

impl Transfers {
    /// Waits for room for a blob of this size, the largest there may be where it is not known.
    pub(crate) async fn room(&self, bytes: Option<usize>) -> Result<Room> {
        self.room_within(bytes, TRANSFER_WAIT).await
    }

    async fn room_within(&self, bytes: Option<usize>, within: Duration) -> Result<Room> {
        let wanted = permits(bytes.unwrap_or(MAX_BLOB_BYTES).min(MAX_BLOB_BYTES));
        match timeout(within, self.0.clone().acquire_many_owned(wanted)).await {
            Ok(Ok(room)) => Ok(Room(room)),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => {
                let detail = "too many large blobs are on their way in or out";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_transfers", detail)
                    .with_hint("try again when some of them are done".to_owned()))
            }
        }
    }
}

impl Room {
    /// Gives back what a blob of this size does not need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(permits(bytes) as usize);
        drop(self.0.split(surplus));
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_waits_and_is_refused_in_the_end() {
        let transfers = Transfers::default();
        let mut rooms = Vec::new();
        for _ in 0..BLOB_BYTES_IN_TRANSFER_MAX / MAX_BLOB_BYTES {
            rooms.push(transfers.room(None).await.ok().unwrap());
        }
        let refused = transfers.room_within(Some(1), Duration::ZERO).await.err().unwrap();
        assert_eq!(refused.to_json()["code"], "too_many_transfers");
        let (waited, ()) = tokio::join!(transfers.room(Some(MAX_BLOB_BYTES)), async { drop(rooms.pop()) });
        assert!(waited.is_ok());
    }

    #[tokio::test]
    async fn room_that_is_not_needed_is_given_back() {
        let transfers = Transfers::default();
        let mut rooms = Vec::new();
        for _ in 0..1_000 {
            let mut room = transfers.room(None).await.ok().unwrap();
            room.shrink(100);
            rooms.push(room);
        }
        assert_eq!(transfers.0.available_permits(), BLOB_BYTES_IN_TRANSFER_MAX / PERMIT_BYTES - 1_000);
        drop(rooms);
        assert_eq!(transfers.0.available_permits(), BLOB_BYTES_IN_TRANSFER_MAX / PERMIT_BYTES);
    }
}

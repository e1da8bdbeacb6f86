//! The store's blobs: what a cell gets for `stepcell:blobs/blobs`.

use std::sync::Arc;

use bytes::Bytes;
use stepcell_core::{self as core, Digest, Fault, grant::BlobAccess};
use stepcell_engine::runner::Blobs;
use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;

use super::{Full, Held, Session, allow::Refusal};
use crate::{
    bindings::stepcell::blobs::blobs::{Failure, Host},
    limits,
};

impl Session {
    /// The blobs, where the step may use them like this.
    fn blobs(&mut self, wanted: BlobAccess) -> Result<Arc<dyn Blobs>, Failure> {
        if let Some(refuser) = self.access.refuses_blobs(wanted) {
            let what = match wanted {
                BlobAccess::Read => "reading blobs",
                BlobAccess::Write => "putting blobs",
            };
            let reason = self.access.reason(refuser, what);
            let allow = self.access.allow(refuser, |grant| grant.blobs = Some(wanted));
            let refusal = Refusal { capability: "blobs", target: "blobs", reason, allow };
            return Err(Failure::Denied(self.refuse(refusal)));
        }
        match &self.caller.blobs {
            Some(blobs) => Ok(Arc::clone(blobs)),
            None => Err(Failure::Denied("there is no run that could keep them".to_owned())),
        }
    }

    /// The wait for room ends with the step.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        timeout_at(self.deadline.into(), work).await.map_err(|_| full(Full))
    }

    /// On the host's runtime: the store's work is not for a cell's thread.
    async fn in_store<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, core::Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        match AbortOnDropHandle::new(self.services.runtime.spawn(work)).await {
            Ok(done) => done.map_err(failure),
            Err(_) => Err(Failure::Unavailable("the host stops".to_owned())),
        }
    }
}

impl Host for Session {
    async fn put(&mut self, bytes: Vec<u8>) -> Result<String, Failure> {
        let blobs = self.blobs(BlobAccess::Write)?;
        let (len, most) = (bytes.len() as u64, self.limits.request.value);
        if len > most {
            return Err(too_large(len, most, "limits.request"));
        }
        let mut held = Held::default();
        let room = self.services.outgoing.send(&mut held, bytes.len(), self.ledger.shares());
        self.in_time(room).await?.map_err(full)?;
        self.count_request(len).map_err(|spent| Failure::Limit(spent.to_string()))?;
        let putting = async move { blobs.put(Bytes::from(bytes)).await };
        self.in_store(putting).await.map(|digest| digest.to_string())
    }

    async fn get(&mut self, id: String) -> Result<Vec<u8>, Failure> {
        let blobs = self.blobs(BlobAccess::Read)?;
        let shown: String = id.chars().take(80).flat_map(char::escape_debug).collect();
        let Ok(digest) = id.parse::<Digest>() else {
            return Err(Failure::Invalid(format!("`{shown}` is no id of a blob")));
        };
        self.count_request(0).map_err(|spent| Failure::Limit(spent.to_string()))?;
        let services = Arc::clone(&self.services);
        let Ok(_turn) = self.in_time(services.blob_reads.acquire()).await? else { return Err(full(Full)) };
        let getting = async move { blobs.get(digest).await };
        let Some(bytes) = self.in_store(getting).await? else {
            return Err(Failure::Missing(format!("there is no blob `{shown}`")));
        };
        let (len, most) = (bytes.len() as u64, self.limits.response.value);
        if len > most {
            return Err(too_large(len, most, "limits.response"));
        }
        let mut held = Held::default();
        let room = self.services.incoming.receive(&mut held, bytes.len(), self.ledger.shares());
        self.in_time(room).await?.map_err(full)?;
        self.count_received(len).map_err(|spent| Failure::Limit(spent.to_string()))?;
        Ok(bytes.into())
    }
}

fn full(full: Full) -> Failure {
    Failure::Unavailable(full.to_string())
}

fn too_large(bytes: u64, most: u64, key: &str) -> Failure {
    let (bytes, most) = (limits::Bytes(bytes), limits::Bytes(most));
    Failure::Limit(format!("the blob has {bytes}, of {most} that `{key}` allows"))
}

fn failure(failure: core::Failure) -> Failure {
    match failure.fault {
        Fault::Limit => Failure::Limit(failure.message),
        _ => Failure::Unavailable(failure.message),
    }
}

#[cfg(test)]
mod tests;

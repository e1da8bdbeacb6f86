//! Names to addresses.

use std::{io, net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

/// Addresses of one name that are looked at. Protects from a name server that lists thousands.
const MAX_ADDRESSES: usize = 16;
/// Lookups at a time. Each holds a thread until the system's resolver gives up, however short the step's own
/// timeout; without this bound dead name servers would use up the runtime's threads.
const MAX_LOOKUPS: usize = 64;

/// Turns a name into addresses. What it says is never trusted: every address is checked.
pub trait Resolve: Send + Sync + 'static {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// `getaddrinfo`: what every other program on this machine sees.
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let lookups = self.lookups.clone();
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            // On its own, so that the permit is held as long as the thread is, also where nobody waits any more.
            let lookup = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name, 0)).await;
                drop(permit);
                found.map(|addresses| addresses.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// In the resolver's order, each once, IPv4 in its own form.
pub(super) fn distinct(resolved: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::with_capacity(resolved.len().min(MAX_ADDRESSES));
    for address in resolved {
        let address = address.to_canonical();
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

//! Where runs live: the [`Store`] trait, the in-memory store, and one suite that every backend passes.
//!
//! Read in this order.

pub mod append;
pub mod blob;
pub mod claim;
pub mod digest;
pub mod error;
pub mod kept;
pub mod memory;
pub mod run;
pub mod store;
pub mod suite;
pub mod wait;

pub use append::{Append, Timer, TimerChange};
pub use blob::{BlobRef, Hold, Put};
pub use claim::Claim;
pub use error::Error;
pub use kept::{KeptEvent, Looker, Taken};
pub use memory::MemoryStore;
pub use run::{Query, RunStatus, RunSummary};
pub use store::{SharedStore, Store};
pub use wait::{WaitChange, Waiter};

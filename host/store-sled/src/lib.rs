//! Runs on the local disk: the embedded default of the [`Store`](stepcell_store::Store) trait, on sled 0.34.
//!
//! The data folder holds
//!
//! | name | what |
//! | --- | --- |
//! | `lock` | locked while a process has the folder open |
//! | `host.key` | 32 random bytes, see [`DataDir::host_key`] |
//! | `store/` | sled: runs, events, timers, waits, kept events and small blobs, in one tree, see `keys` |
//! | `store.mark` | the number of the last commit, so that a log that has lost its end is noticed |
//! | `blobs/` | one file for each large blob, named after its digest |
//!
//! # One writer
//! Appends queue for one thread, the committer. It takes all that wait, applies them as one atomic batch, syncs
//! once, and then answers all of them. sled's own flush is no sync, it survives the death of the process but not
//! of the machine, so the committer calls fdatasync on sled's file through a handle of its own.
//!
//! A batch that is larger than sled's segments allow between two syncs is first written to a file of its own. Once a
//! row that names the file is on the disk the batch counts; it is then applied in steps, and again after a crash.
//!
//! # Blobs
//! A blob is there as long as somebody holds it: the runs that refer to it, which are counted, and for a time who
//! sent it. Who holds what changes in the same batches as everything else, so that a blob can not go while an
//! append begins to refer to it. A large one has a file; that is written before the first hold and removed after
//! the sync that ended the last one, and what a crash leaves in between is found when the store is opened.
//!
//! Removing a run takes it out of sight with one batch. What it had is cleared away by others, since it may be more
//! than one takes; a mark stays until that is done.
//!
//! # Reads
//! A batch is in sled's tree before it is synced. What it changes is kept in an overlay until then, and reads
//! look at the tree first and at the overlay after, so that they see the state before or after the sync. A read
//! that needs the tree may wait for the disk or for a batch that is being applied, and so runs on tokio's
//! blocking threads; the summary of a recently written run is answered from memory at once.
//!
//! # What a run takes
//! A run that has ended keeps its events, packed; its entry in listings; four rows by which it is listed, and one that
//! it holds its flow. sled takes back a segment when half of it is garbage, so that all of that lies on the disk
//! about twice: `examples/disk_per_run` measures it.
//!
//! # When the disk fails
//! A disk that is almost full is noticed before anything is written: appends fail with
//! [`Error::Full`](stepcell_store::Error::Full) until there is room again, which removing runs may make. After a
//! write or a sync that failed nobody knows what is on the disk, and the one log is shared by all runs: the batch is
//! answered with the error and told to nobody, and all later appends are refused with
//! [`Error::Failed`](stepcell_store::Error::Failed) until the store is opened again. Reads go on, and show what
//! was synced.
//!
//! Read in this order.

mod batch;
mod changes;
mod committer;
mod disk;
mod error;
mod files;
mod folder;
mod holds;
mod keys;
mod log;
mod mark;
mod opening;
mod pack;
mod parts;
mod queue;
mod reader;
mod signals;
mod store;
mod summary;
mod view;
mod write;

pub use folder::DataDir;
pub use store::SledStore;

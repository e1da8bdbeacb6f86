//! A store on the disk beside one in memory.

use std::fmt::Debug;

use stepcell_store::{MemoryStore, SharedStore};

use super::*;

/// What both of them do.
pub(super) trait Act: Debug {
    type Seen: Debug + PartialEq;

    /// Whether it begins a run: the first one is 1.
    fn begins(&self) -> bool;
    /// Whether the store on the disk is closed and opened before it.
    fn reopens(&self) -> bool;
    async fn perform(&self, store: &SharedStore, begun: u64) -> String;
    async fn seen(store: &SharedStore) -> Self::Seen;
}

/// Does the same to both, which must not be told apart.
pub(super) fn check<A: Act>(acts: Vec<A>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = TempDir::new().unwrap();
        let model: SharedStore = Arc::new(MemoryStore::new());
        let mut store = Arc::new(open(&folder));
        let mut begun = 0;
        for act in acts {
            begun += u64::from(act.begins());
            if act.reopens() {
                drop(store);
                store = Arc::new(open(&folder));
            }
            let shared: SharedStore = Arc::<SledStore>::clone(&store);
            assert_eq!(act.perform(&shared, begun).await, act.perform(&model, begun).await, "{act:?}");
            assert_eq!(A::seen(&shared).await, A::seen(&model).await, "{act:?}");
            whole::check(&store);
        }
    });
}

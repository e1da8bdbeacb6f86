//! What the mocks of all capabilities share.

use std::marker::PhantomData;

/// Answers this thread's calls of one capability until it is dropped.
#[must_use = "the mock ends where this is dropped"]
#[derive(Debug)]
pub struct Mock {
    end: fn(),
    /// It ends what it began on this thread.
    thread: PhantomData<*const ()>,
}

impl Mock {
    pub(crate) fn new(end: fn()) -> Self {
        Self { end, thread: PhantomData }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        (self.end)();
    }
}

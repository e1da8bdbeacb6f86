//! Lets a future do its network's work on the host's runtime, wherever it is awaited: cells run on threads of their
//! own. Unlike a task of its own it may borrow, and no thread has to be woken to begin with.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

pub(super) struct Within<'a, F: ?Sized> {
    runtime: &'a Handle,
    future: Pin<Box<F>>,
}

pub(super) fn within<F: Future>(runtime: &Handle, future: F) -> Within<'_, F> {
    Within { runtime, future: Box::pin(future) }
}

impl<F: Future + ?Sized> Future for Within<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        self.future.as_mut().poll(context)
    }
}

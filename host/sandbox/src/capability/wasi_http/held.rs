//! Responses that lie in the host until the cell has read them.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::connector::Whole;

/// How many bytes lie there.
#[derive(Debug, Clone)]
pub(super) struct Held {
    bytes: Arc<AtomicUsize>,
    max: usize,
}

impl Held {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Arc::default(), max }
    }
}

/// Counts as held from its making until it is dropped.
pub(super) struct HeldBody {
    body: Whole,
    length: usize,
    held: Arc<AtomicUsize>,
}

impl HeldBody {
    /// `None` where it would be too much together.
    pub(super) fn new(held: &Held, data: Bytes, trailers: HeaderMap) -> Option<Self> {
        let length = data.len();
        if held.bytes.fetch_add(length, Relaxed).saturating_add(length) > held.max {
            held.bytes.fetch_sub(length, Relaxed);
            return None;
        }
        Some(Self { body: Whole::new(data, trailers), length, held: Arc::clone(&held.bytes) })
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.held.fetch_sub(self.length, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_makes_room() {
        let held = Held::new(10);
        let body = |length| HeldBody::new(&held, Bytes::from(vec![0; length]), HeaderMap::new());
        let first = body(6).unwrap();
        assert!(body(5).is_none());
        let second = body(4).unwrap();
        drop(first);
        assert!(body(6).is_some());
        drop(second);
        assert_eq!(held.bytes.load(Relaxed), 0);
    }
}

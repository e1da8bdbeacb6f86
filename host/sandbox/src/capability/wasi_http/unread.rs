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

use crate::{capability::Held, connector::Whole};

/// How many bytes lie there.
#[derive(Debug, Clone)]
pub(super) struct UnreadBytes {
    bytes: Arc<AtomicUsize>,
    max: usize,
}

impl UnreadBytes {
    pub(super) fn new(max: usize) -> Self {
        Self { bytes: Arc::default(), max }
    }
}

/// Counts from its making until it is dropped.
pub(super) struct Unread {
    body: Whole,
    length: usize,
    unread: Arc<AtomicUsize>,
    _held: Held,
}

impl Unread {
    /// `None` where it would be too much together.
    pub(super) fn new(unread: &UnreadBytes, data: Bytes, trailers: HeaderMap, held: Held) -> Option<Self> {
        let length = data.len();
        if unread.bytes.fetch_add(length, Relaxed).saturating_add(length) > unread.max {
            unread.bytes.fetch_sub(length, Relaxed);
            return None;
        }
        let body = Whole::new(data, trailers);
        Some(Self { body, length, unread: Arc::clone(&unread.bytes), _held: held })
    }
}

impl Body for Unread {
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

impl Drop for Unread {
    fn drop(&mut self) {
        self.unread.fetch_sub(self.length, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_makes_room() {
        let unread = UnreadBytes::new(10);
        let body =
            |length| Unread::new(&unread, Bytes::from(vec![0; length]), HeaderMap::new(), Held::default());
        let first = body(6).unwrap();
        assert!(body(5).is_none());
        let second = body(4).unwrap();
        drop(first);
        assert!(body(6).is_some());
        drop(second);
        assert_eq!(unread.bytes.load(Relaxed), 0);
    }
}

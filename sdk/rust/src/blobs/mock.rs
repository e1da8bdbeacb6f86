//! The store, for unit tests.

use std::cell::RefCell;

use crate::{Failure, capability::no_host, mocking::Mock};

/// What a step asked of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Put { bytes: Vec<u8> },
    Get { id: String },
}

type Handler = Box<dyn FnMut(&Call) -> Result<Vec<u8>, Failure>>;

thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Lets `handler` answer what steps on this thread ask of the store: with an id, or with the bytes. A second mock
/// replaces the first.
///
/// ```
/// use stepcell::blobs;
///
/// let _mock = blobs::mock(|_| Ok("id".into()));
/// assert_eq!(blobs::put(b"bytes").unwrap(), "id");
/// ```
pub fn mock(handler: impl FnMut(&Call) -> Result<Vec<u8>, Failure> + 'static) -> Mock {
    HANDLER.set(Some(Box::new(handler)));
    Mock::new(|| HANDLER.set(None))
}

pub(super) fn put(bytes: &[u8]) -> Result<String, Failure> {
    Ok(String::from_utf8(answer(&Call::Put { bytes: bytes.to_owned() })?)?)
}

pub(super) fn get(id: &str) -> Result<Vec<u8>, Failure> {
    answer(&Call::Get { id: id.to_owned() })
}

fn answer(call: &Call) -> Result<Vec<u8>, Failure> {
    HANDLER.with_borrow_mut(|handler| match handler {
        Some(handler) => handler(call),
        None => Err(no_host("blobs")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mock_nothing_is_kept() {
        drop(mock(|_| Ok(Vec::new())));
        assert!(get("id").unwrap_err().message.contains("stepcell::blobs::mock"));
    }
}

//! The mail server, for unit tests.

use std::cell::RefCell;

use super::Message;
use crate::{Failure, capability::no_host, mocking::Mock};

type Handler = Box<dyn FnMut(&Message) -> Result<String, Failure>>;

thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Lets `handler` take the mails of steps on this thread, and give their message ids. A second mock replaces the first.
///
/// ```
/// use stepcell::email;
///
/// let _mock = email::mock(|message| Ok(format!("<{}@example.com>", message.to.len())));
/// assert_eq!(email::send(email::Message::default()).unwrap(), "<0@example.com>");
/// ```
pub fn mock(handler: impl FnMut(&Message) -> Result<String, Failure> + 'static) -> Mock {
    HANDLER.set(Some(Box::new(handler)));
    Mock::new(|| HANDLER.set(None))
}

pub(super) fn send(message: Message) -> Result<String, Failure> {
    HANDLER.with_borrow_mut(|handler| match handler {
        Some(handler) => handler(&message),
        None => Err(no_host("email")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mock_nothing_is_sent() {
        drop(mock(|_| Ok(String::new())));
        assert!(send(Message::default()).unwrap_err().message.contains("stepcell::email::mock"));
    }
}

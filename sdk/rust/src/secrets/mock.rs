//! The keeper of secrets, for unit tests.

use std::cell::RefCell;

use crate::{Failure, capability::no_host, mocking::Mock};

/// What a step asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Placeholder { name: String },
    Basic { user: String, name: String },
    HmacSha256 { name: String, bytes: Vec<u8> },
}

type Handler = Box<dyn FnMut(&Call) -> Result<Vec<u8>, Failure>>;

thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Lets `handler` answer what steps on this thread ask for: the text of a placeholder, or a hash. A second mock
/// replaces the first.
///
/// ```
/// use stepcell::secrets;
///
/// let _mock = secrets::mock(|_| Ok("token".into()));
/// assert_eq!(secrets::placeholder("github").unwrap(), "token");
/// ```
pub fn mock(handler: impl FnMut(&Call) -> Result<Vec<u8>, Failure> + 'static) -> Mock {
    HANDLER.set(Some(Box::new(handler)));
    Mock::new(|| HANDLER.set(None))
}

pub(super) fn placeholder(name: &str) -> Result<String, Failure> {
    Ok(String::from_utf8(answer(&Call::Placeholder { name: name.to_owned() })?)?)
}

pub(super) fn basic(user: &str, name: &str) -> Result<String, Failure> {
    Ok(String::from_utf8(answer(&Call::Basic { user: user.to_owned(), name: name.to_owned() })?)?)
}

pub(super) fn hmac_sha256(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    answer(&Call::HmacSha256 { name: name.to_owned(), bytes: bytes.to_owned() })
}

fn answer(call: &Call) -> Result<Vec<u8>, Failure> {
    HANDLER.with_borrow_mut(|handler| match handler {
        Some(handler) => handler(call),
        None => Err(no_host("secrets")),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{basic, hmac_sha256, placeholder},
        *,
    };

    #[test]
    fn without_a_mock_nothing_answers() {
        drop(mock(|_| Ok(Vec::new())));
        assert!(placeholder("a").unwrap_err().message.contains("stepcell::secrets::mock"));
    }

    #[test]
    fn each_call_says_what_it_wants() {
        let _mock = mock(|call| Ok(format!("{call:?}").into_bytes()));
        assert_eq!(placeholder("a").unwrap(), r#"Placeholder { name: "a" }"#);
        assert_eq!(basic("me", "a").unwrap(), r#"Basic { user: "me", name: "a" }"#);
        assert_eq!(hmac_sha256("a", &[1]).unwrap(), br#"HmacSha256 { name: "a", bytes: [1] }"#);
    }
}

//! The other side, for unit tests.

use std::cell::RefCell;

use super::{Request, Response};
use crate::{Failure, capability::no_host, mocking::Mock};

type Handler = Box<dyn FnMut(&Request) -> Result<Response, Failure>>;

thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Lets `handler` answer what steps on this thread send. A second mock replaces the first.
///
/// ```
/// use stepcell::http;
///
/// let _mock = http::mock(|request| Ok(http::Response::new(200).with_body(request.url())));
/// assert_eq!(http::get("https://example.com/").send().unwrap().text(), "https://example.com/");
/// ```
pub fn mock(handler: impl FnMut(&Request) -> Result<Response, Failure> + 'static) -> Mock {
    HANDLER.set(Some(Box::new(handler)));
    Mock::new(|| HANDLER.set(None))
}

pub(super) fn send(request: Request) -> Result<Response, Failure> {
    if let Err(failure) = &request.body {
        return Err(failure.clone());
    }
    HANDLER.with_borrow_mut(|handler| match handler {
        Some(handler) => handler(&request),
        None => Err(no_host("http")),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::get, *};

    #[test]
    fn without_a_mock_nothing_answers() {
        drop(mock(|_| Ok(Response::new(200))));
        assert!(get("http://h").send().unwrap_err().message.contains("stepcell::http::mock"));
    }

    #[test]
    fn a_failure_of_the_other_side_comes_through() {
        let _mock = mock(|_| Err(Failure::timeout("too late")));
        assert_eq!(get("http://h").send().unwrap_err(), Failure::timeout("too late"));
    }
}

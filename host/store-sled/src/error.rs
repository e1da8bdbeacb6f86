//! From what sled and the operating system say to what the store says.

use std::{any::Any, io};

use stepcell_store::Error;

pub(crate) fn io(action: &'static str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Io { action, reason: error.to_string() },
    }
}

pub(crate) fn sled(action: &'static str, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(error) => io(action, &error),
        // Its settings never change, so that others are what a damaged file says.
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => damaged("the store", &error),
        error => Error::Io { action, reason: error.to_string() },
    }
}

pub(crate) fn damaged(what: impl ToString, reason: &impl ToString) -> Error {
    Error::Damaged { what: what.to_string(), reason: reason.to_string() }
}

/// What a panic says. sled asserts much of what it reads and does.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

//! The host's databases.

use serde_json::json;

use super::Rows;
use crate::{
    Failure,
    capability::{self, Why},
};

mod bindings {
    #![allow(unsafe_code, clippy::allow_attributes_without_reason, reason = "wit-bindgen writes it")]
    wit_bindgen::generate!({ path: "wit/database", world: "imports", generate_unused_types: true });
}

use bindings::stepcell::database::database as host;

pub(super) fn query(database: &str, statement: &str, params: &str) -> Result<Rows, Failure> {
    host::query(database, statement, params).map(rows).map_err(failure)
}

pub(super) fn execute(database: &str, statement: &str, params: &str) -> Result<u64, Failure> {
    host::execute(database, statement, params).map_err(failure)
}

pub(super) struct Transaction(host::Transaction);

impl Transaction {
    pub(super) fn begin(database: &str) -> Result<Self, Failure> {
        host::Transaction::begin(database).map(Self).map_err(failure)
    }

    pub(super) fn query(&self, statement: &str, params: &str) -> Result<Rows, Failure> {
        self.0.query(statement, params).map(rows).map_err(failure)
    }

    pub(super) fn execute(&self, statement: &str, params: &str) -> Result<u64, Failure> {
        self.0.execute(statement, params).map_err(failure)
    }

    pub(super) fn commit(self) -> Result<(), Failure> {
        host::Transaction::commit(self.0).map_err(failure)
    }
}

fn rows(host::Rows { rows, count }: host::Rows) -> Rows {
    Rows::from_host(rows, count)
}

fn failure(failure: host::Failure) -> Failure {
    let (why, message) = match failure {
        host::Failure::Denied(message) => (Why::Denied, message),
        host::Failure::Invalid(message) => (Why::Invalid, message),
        host::Failure::Rejected(rejection) => return rejected(rejection),
        host::Failure::Conflict(message) => (Why::Conflict, message),
        host::Failure::Unavailable(message) => (Why::Unavailable, message),
        host::Failure::Timeout(message) => (Why::Timeout, message),
        host::Failure::Limit(message) => (Why::Limit, message),
    };
    capability::failure("database", why, message)
}

/// The database's own code goes where a program looks for it: the failure's code is of our words.
fn rejected(host::Rejection { code, message }: host::Rejection) -> Failure {
    let failure = capability::failure("database", Why::Rejected, message);
    match code {
        Some(code) => failure.details(json!({ "code": code })),
        None => failure,
    }
}

//! One call: where it is, what answers it, and how OpenAPI describes it.

use std::convert::Infallible;

use axum::{
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use serde_json::{Value, json};

use crate::{api::Api, operation::Operation};

/// An entry of the table from which both the router and the OpenAPI document are made, so that neither has a call
/// that the other lacks.
pub(crate) struct Route {
    /// Axum and OpenAPI write parameters alike: `{run_id}`.
    pub(crate) path: &'static str,
    /// Lower case, as OpenAPI wants it.
    pub(crate) method: &'static str,
    pub(crate) handler: MethodRouter<Api, Infallible>,
    operation: Operation,
}

impl Route {
    pub(crate) fn get<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Api>,
        operation: Operation,
    ) -> Self {
        Self { path, method: "get", handler: on(MethodFilter::GET, handler), operation }
    }

    pub(crate) fn post<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Api>,
        operation: Operation,
    ) -> Self {
        Self { path, method: "post", handler: on(MethodFilter::POST, handler), operation }
    }

    pub(crate) fn delete<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Api>,
        operation: Operation,
    ) -> Self {
        Self { path, method: "delete", handler: on(MethodFilter::DELETE, handler), operation }
    }

    /// The OpenAPI operation, with the parameters that stand in the path.
    pub(crate) fn operation(self) -> Value {
        let names = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = names.map(|name| {
            json!({
                "name": name, "in": "path", "required": true, "schema": {"type": "string"},
            })
        });
        self.operation.into_value(parameters.collect())
    }
}

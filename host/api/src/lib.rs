//! HTTP: axum routes over the engine, errors as problem+json (RFC 9457), and OpenAPI 3.1 of exactly these routes.
//!
//! Read in this order: [`Api`] is what the routes work on, [`serve`] answers a listener until it is told to stop.

mod api;
mod body;
mod guard;
pub mod limits;
mod operation;
mod problem;
mod query;
mod route;
mod routes;
mod started;
mod submission;
mod transfers;
mod server;

pub use api::{Api, Options, router};
pub use problem::Problem;
pub use server::serve;

#[cfg(test)]
mod tests;

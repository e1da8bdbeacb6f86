//! Against real servers on loopback. What resolves is up to the test, what is connected to is not.

mod admission;
mod dns;
mod peers;
mod pooling;
mod redirects;
mod secrets;
pub(crate) mod support;
mod tls;

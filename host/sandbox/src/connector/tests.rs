//! Against real servers on loopback. What resolves is up to the test, what is connected to is not.

mod admission;
mod peers;
mod pooling;
mod redirects;
pub(crate) mod support;
mod tls;

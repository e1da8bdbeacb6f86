//! Against a real server: what a statement may do, what it may not, and what comes back.

mod escapes;
mod grants;
mod peers;
mod pool;
mod sessions;
mod support;
mod types;

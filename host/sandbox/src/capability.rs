//! What a cell may reach outside, one file each. A component asks by importing; the operator grants.

pub(crate) mod http;

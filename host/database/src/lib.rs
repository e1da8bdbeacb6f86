//! SQL databases behind one interface.

//! What a query gave.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{Failure, step::deserialize};

/// Rows as the host's JSON text. Nothing is parsed before somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    json: String,
    count: u64,
}

impl Rows {
    /// These rows, each an object. For the answer of a mock.
    #[must_use]
    pub fn new<T: Serialize>(rows: &[T]) -> Self {
        let json = serde_json::to_string(rows).unwrap_or_default();
        Self { json, count: u64::try_from(rows.len()).unwrap_or(u64::MAX) }
    }

    /// No rows, and so many changed. For the answer of a mock.
    #[must_use]
    pub fn changed(count: u64) -> Self {
        Self { json: "[]".to_owned(), count }
    }

    #[cfg(target_family = "wasm")]
    pub(super) fn from_host(json: String, count: u64) -> Self {
        Self { json, count }
    }

    /// How many rows there are or, where the statement gives none, how many it changed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Each row as a type of the step's own, its fields named as the columns.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        deserialize(&self.json, "rows")
            .map_err(|failure| Failure::failed(failure.message).code("database_rows"))
    }

    /// The rows as they came, to be passed on without being parsed.
    pub fn into_raw(self) -> Result<Box<RawValue>, Failure> {
        Ok(RawValue::from_string(self.json)?)
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::changed(0)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Order {
        id: u64,
    }

    #[test]
    fn rows_are_typed() {
        let rows = Rows::new(&[json!({ "id": 1 }), json!({ "id": 2 })]);
        assert_eq!(rows.rows::<Order>().unwrap(), [Order { id: 1 }, Order { id: 2 }]);
        assert_eq!(rows.count(), 2);
        assert_eq!(rows.into_raw().unwrap().get(), r#"[{"id":1},{"id":2}]"#);
    }

    #[test]
    fn a_row_of_another_shape_names_the_place() {
        let failure = Rows::new(&[json!({ "id": "x" })]).rows::<Order>().unwrap_err();
        assert_eq!(failure.message, "`rows[0].id`: invalid type: string \"x\", expected u64");
        assert_eq!(failure.code.as_deref(), Some("database_rows"));
        assert_eq!(failure.fault, crate::Fault::Failed);
    }
}

//! The database, for unit tests.

use std::cell::RefCell;

use serde_json::Value;

use super::Rows;
use crate::{Failure, capability::no_host, mocking::Mock};

/// What a step asked of a database.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Query {
        statement: String,
        params: Vec<Value>,
    },
    Execute {
        statement: String,
        params: Vec<Value>,
    },
    /// What follows belongs to a transaction, up to one of the next two.
    Begin,
    Commit,
    /// The transaction was dropped: nothing of it counts. The answer is not looked at.
    Rollback,
}

type Handler = Box<dyn FnMut(&str, &Call) -> Result<Rows, Failure>>;

thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Lets `handler` answer what steps on this thread ask of a database, whose name it gets. Of an `Execute` the
/// count is taken. A second mock replaces the first.
///
/// ```
/// use stepcell::{database::{self, Rows}, serde_json::json};
///
/// let _mock = database::mock(|_, _| Ok(Rows::new(&[json!({ "id": 7 })])));
/// assert_eq!(database::query("main", "SELECT id FROM orders", &()).unwrap().count(), 1);
/// ```
pub fn mock(handler: impl FnMut(&str, &Call) -> Result<Rows, Failure> + 'static) -> Mock {
    HANDLER.set(Some(Box::new(handler)));
    Mock::new(|| HANDLER.set(None))
}

pub(super) fn query(database: &str, statement: &str, params: &str) -> Result<Rows, Failure> {
    answer(database, &Call::Query { statement: statement.to_owned(), params: serde_json::from_str(params)? })
}

pub(super) fn execute(database: &str, statement: &str, params: &str) -> Result<u64, Failure> {
    let call = Call::Execute { statement: statement.to_owned(), params: serde_json::from_str(params)? };
    Ok(answer(database, &call)?.count())
}

fn answer(database: &str, call: &Call) -> Result<Rows, Failure> {
    HANDLER.with_borrow_mut(|handler| match handler {
        Some(handler) => handler(database, call),
        None => Err(no_host("database")),
    })
}

pub(super) struct Transaction {
    database: String,
    open: bool,
}

impl Transaction {
    pub(super) fn begin(database: &str) -> Result<Self, Failure> {
        answer(database, &Call::Begin)?;
        Ok(Self { database: database.to_owned(), open: true })
    }

    pub(super) fn query(&self, statement: &str, params: &str) -> Result<Rows, Failure> {
        query(&self.database, statement, params)
    }

    pub(super) fn execute(&self, statement: &str, params: &str) -> Result<u64, Failure> {
        execute(&self.database, statement, params)
    }

    pub(super) fn commit(mut self) -> Result<(), Failure> {
        self.open = false;
        answer(&self.database, &Call::Commit).map(drop)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // A handler that fails its test once more, while that test unwinds, would end the process.
        if self.open && !std::thread::panicking() {
            let _ = answer(&self.database, &Call::Rollback);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde_json::json;

    use super::{
        super::{Transaction, execute, query},
        *,
    };

    /// A mock that changes one row each time, and what it was asked.
    fn recorded() -> (Mock, Rc<RefCell<Vec<Call>>>) {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&calls);
        let mock = mock(move |database, call| {
            assert_eq!(database, "main");
            seen.borrow_mut().push(call.clone());
            Ok(Rows::changed(1))
        });
        (mock, calls)
    }

    #[test]
    fn without_a_mock_nothing_answers() {
        drop(mock(|_, _| Ok(Rows::default())));
        let failure = query("main", "SELECT 1", &()).unwrap_err();
        assert!(failure.message.contains("stepcell::database::mock"), "{}", failure.message);
    }

    #[test]
    fn a_call_comes_with_its_parameters() {
        let (_mock, calls) = recorded();
        assert_eq!(execute("main", "DELETE FROM a WHERE b = $1", &("x",)).unwrap(), 1);
        let statement = "DELETE FROM a WHERE b = $1".to_owned();
        assert_eq!(*calls.borrow(), [Call::Execute { statement, params: vec![json!("x")] }]);
    }

    #[test]
    fn a_committed_transaction_is_not_rolled_back() {
        let (_mock, calls) = recorded();
        Transaction::begin("main").unwrap().commit().unwrap();
        assert_eq!(*calls.borrow(), [Call::Begin, Call::Commit]);
    }

    #[test]
    fn a_dropped_transaction_is_rolled_back() {
        let (_mock, calls) = recorded();
        let transaction = Transaction::begin("main").unwrap();
        assert_eq!(transaction.query("SELECT 1", &()).unwrap().count(), 1);
        drop(transaction);
        let statement = "SELECT 1".to_owned();
        assert_eq!(
            *calls.borrow(),
            [Call::Begin, Call::Query { statement, params: Vec::new() }, Call::Rollback]
        );
    }
}

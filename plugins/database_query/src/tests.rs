use std::{cell::RefCell, rc::Rc};

use stepcell::{
    database::{Call, Rows, mock},
    testing,
};

use super::*;

/// Runs the step against `answer` and gives its result and what it asked of which database.
fn call(config: Value, answer: Result<Rows, Failure>) -> (Result<Value, Failure>, Vec<(String, Call)>) {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&calls);
    let _mock = mock(move |database, call| {
        seen.borrow_mut().push((database.to_owned(), call.clone()));
        answer.clone()
    });
    (testing::execute::<database_query>(config), calls.take())
}

fn asked(config: Value) -> (String, Call) {
    let (result, mut calls) = call(config, Ok(Rows::default()));
    result.unwrap();
    assert_eq!(calls.len(), 1, "one statement is one call");
    calls.remove(0)
}

#[test]
fn rows_come_as_objects_with_their_count() {
    let rows = Rows::new(&[json!({ "id": 1, "total": "9.50" }), json!({ "id": 2, "total": null })]);
    let (result, _) = call(json!({ "query": "SELECT id, total FROM orders" }), Ok(rows));
    let rows = json!([{ "id": 1, "total": "9.50" }, { "id": 2, "total": null }]);
    assert_eq!(result.unwrap(), json!({ "rows": rows, "count": 2 }));
}

#[test]
fn a_statement_without_rows_counts_what_it_changed() {
    let (result, _) = call(json!({ "query": "DELETE FROM orders" }), Ok(Rows::changed(3)));
    assert_eq!(result.unwrap(), json!({ "rows": [], "count": 3 }));
}

#[test]
fn main_is_the_default_and_params_go_out_as_they_are() {
    let statement = "SELECT $1, $2, $3".to_owned();
    let config = json!({ "query": statement, "params": [1.5, "'; DROP TABLE a", { "deep": [null] }] });
    let params = vec![json!(1.5), json!("'; DROP TABLE a"), json!({ "deep": [null] })];
    assert_eq!(asked(config), ("main".to_owned(), Call::Query { statement, params }));
}

#[test]
fn another_database_is_asked_by_its_name() {
    let (database, call) = asked(json!({ "query": " SELECT 1", "database": "shop" }));
    assert_eq!(database, "shop");
    assert_eq!(call, Call::Query { statement: " SELECT 1".to_owned(), params: Vec::new() });
}

#[test]
fn a_number_that_no_float_holds_is_kept() {
    let config = r#"{"query": "SELECT $1", "params": [9007199254740993]}"#;
    let (_, call) = asked(stepcell::serde_json::from_str(config).unwrap());
    let Call::Query { params, .. } = call else { panic!("it is no query") };
    assert_eq!(params[0].to_string(), "9007199254740993");
}

#[test]
fn a_wrong_config_asks_nothing() {
    for config in [
        json!({}),
        json!({ "query": "  " }),
        json!({ "query": "SELECT 1", "params": { "a": 1 } }),
        json!({ "query": "SELECT 1", "params": "a" }),
        json!({ "query": "SELECT 1", "parameters": [] }),
        json!({ "query": ["SELECT 1"] }),
    ] {
        let (result, calls) = call(config.clone(), Ok(Rows::default()));
        assert_eq!(result.unwrap_err().fault, Fault::Config, "{config}");
        assert_eq!(calls, [], "{config}");
    }
}

#[test]
fn the_databases_no_comes_through_unchanged() {
    let conflict = Failure::unavailable("deadlock detected").code("database_conflict");
    let (result, _) = call(json!({ "query": "SELECT 1" }), Err(conflict.clone()));
    assert_eq!(result.unwrap_err(), conflict);
}

#[test]
fn the_query_is_literal_and_names_params_instead() {
    let entry = testing::describe::<database_query>();
    assert_eq!(entry["literal"], json!({ "query": "params" }));
    assert_eq!(entry["context"], "none");
    assert_eq!(entry["context_fields"], json!(["rows", "count"]));
    assert_eq!(entry["config_schema"]["required"], json!(["query"]));
    assert_eq!(entry["config_schema"]["properties"]["database"]["default"], "main");
}

#[test]
fn the_examples_hold() {
    let _mock = mock(|_, call| match call {
        Call::Query { statement, .. } if statement.starts_with("SELECT") => {
            Ok(Rows::new(&[json!({ "id": 7, "total": 250 })]))
        }
        _ => Ok(Rows::changed(1)),
    });
    testing::check_examples::<database_query>();
}

use super::*;

/// A value comes back from this expression as this JSON.
async fn gives(host: &Host, expression: &str, json: Value) {
    let rows = host.rows(&format!("SELECT {expression} AS v"), json!([])).await;
    assert_eq!(rows, json!([{ "v": json }]), "{expression}");
}

#[tokio::test]
async fn every_kind_of_value_has_its_json() {
    let host = Host::start();
    gives(&host, "NULL", json!(null)).await;
    gives(&host, "9223372036854775807", json!("9223372036854775807")).await;
    gives(&host, "-9007199254740993", json!("-9007199254740993")).await;
    gives(&host, "9007199254740992", json!(9_007_199_254_740_992_i64)).await;
    gives(&host, "1.5", json!(1.5)).await;
    gives(&host, "1e999", json!("Infinity")).await;
    gives(&host, "-1e999", json!("-Infinity")).await;
    gives(&host, "'a\"b' || char(10, 0, 128512)", json!("a\"b\n\0😀")).await;
    gives(&host, "x'00ff10'", json!("AP8Q")).await;
    gives(&host, "CAST(x'ff41' AS TEXT)", json!("\u{fffd}A")).await;
}

#[tokio::test]
async fn declared_types_show_where_nothing_is_lost() {
    let host = Host::start();
    host.execute("CREATE TABLE t (b BOOLEAN, j JSON, n INTEGER)", json!([]), &rule(Schema)).await.unwrap();
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let params = json!([true, {"a": [1, "x"]}, false, 2, "no json", "{\"s\": \"\\ud800\"}", deep]);
    let insert = "INSERT INTO t VALUES ($1, $2, $3), ($4, $5, 1), (NULL, $6, 1), (NULL, $7, 1)";
    assert_eq!(host.execute(insert, params, &rule(Write)).await, Ok(4));
    let rows = host.rows("SELECT * FROM t", json!([])).await;
    assert_eq!(rows[0], json!({ "b": true, "j": {"a": [1, "x"]}, "n": 0 }));
    assert_eq!(rows[1], json!({ "b": 2, "j": "no json", "n": 1 }));
    assert_eq!(rows[2]["j"], json!("{\"s\": \"\\ud800\"}"));
    assert_eq!(rows[3]["j"], json!(deep));
}

#[tokio::test]
async fn parameters_are_values_and_nothing_else() {
    let host = Host::start();
    let params = json!(["'; DROP TABLE x; --", 1, 2.5, null, true, [1], 9_007_199_254_740_993_i64]);
    let rows = host
        .rows("SELECT $2 AS b, $1 AS a, $3 AS c, $4 AS d, $5 AS e, $6 AS f, $7 AS g, $1 AS h", params)
        .await;
    let expected = json!([{
        "b": 1, "a": "'; DROP TABLE x; --", "c": 2.5, "d": null, "e": 1, "f": "[1]",
        "g": "9007199254740993", "h": "'; DROP TABLE x; --"
    }]);
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_wrong_parameter_is_told() {
    let host = Host::start();
    for (statement, params, why) in [
        ("SELECT $1, $2", json!([1]), "the statement has 2 parameter(s), and 1 are given"),
        ("SELECT $1", json!([1, 2]), "the statement has 1 parameter(s), and 2 are given"),
        ("SELECT 1", json!([1]), "the statement has 0 parameter(s), and 1 are given"),
        ("SELECT ?", json!([1]), "`?` is no parameter"),
        ("SELECT ?1", json!([1]), "`?1` is no parameter"),
        ("SELECT :a", json!([1]), "`:a` is no parameter"),
        ("SELECT $01", json!([1]), "`$01` is no parameter"),
        ("SELECT $0", json!([]), "`$0` is no parameter"),
        ("SELECT $1::text", json!([1]), "write CAST($1 AS text)"),
        ("SELECT $1", json!([u64::MAX]), "`$1` is no integer of 64 bits"),
    ] {
        match host.query(statement, params, &rule(Read)).await {
            Err(Error::Invalid(message)) => assert!(message.contains(why), "{statement}: {message}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn columns_of_one_name_are_numbered() {
    let host = Host::start();
    let rows =
        host.query("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS \"q\"\"t\"", json!([]), &rule(Read)).await.unwrap();
    assert_eq!(rows.json, r#"[{"a":1,"a_2":2,"a_2_2":3,"q\"t":4}]"#);
}

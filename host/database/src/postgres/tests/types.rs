//! Values both ways.

use serde_json::{Value, json};

use super::support::Bed;
use crate::Error;

/// Each expression comes back as this.
async fn check(expressions: &[(&str, Value)]) {
    let bed = Bed::start().await;
    for (expression, expected) in expressions {
        let rows = bed.query(&format!("SELECT {expression} AS v")).await;
        let rows = rows.unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(rows, json!([{"v": expected}]), "{expression}");
    }
}

/// Each value is taken for the type, and comes back as this.
async fn check_params(params: &[(&str, Value, Value)]) {
    let bed = Bed::start().await;
    for (kind, given, expected) in params {
        let rows = bed.query_with(&format!("SELECT $1::{kind} AS v"), std::slice::from_ref(given)).await;
        let rows = rows.unwrap_or_else(|error| panic!("{given} as {kind}: {error}"));
        assert_eq!(rows, json!([{"v": expected}]), "{given} as {kind}");
    }
}

/// Each value is refused for the type, by a message that names the parameter and holds this.
async fn check_refused(params: &[(&str, Value, &str)]) {
    let bed = Bed::start().await;
    for (kind, given, why) in params {
        let result = bed.query_with(&format!("SELECT $1::{kind} AS v"), std::slice::from_ref(given)).await;
        match result {
            Err(Error::Invalid(message)) => {
                assert!(message.contains("`$1`") && message.contains(why), "{given} as {kind}: {message}");
            }
            other => panic!("{given} as {kind}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn numbers_come_back_without_loss() {
    check(&[
        ("true", json!(true)),
        ("7::int2", json!(7)),
        ("-7::int4", json!(-7)),
        ("9007199254740992::int8", json!(9_007_199_254_740_992_i64)),
        ("9007199254740993::int8", json!("9007199254740993")),
        ("(-9223372036854775808)::int8", json!("-9223372036854775808")),
        ("0.1::float4", json!(0.1)),
        ("1e300::float8", json!(1e300)),
        ("'NaN'::float8", json!("NaN")),
        ("'-Infinity'::float4", json!("-Infinity")),
        ("1.10::numeric", json!("1.10")),
        ("0::numeric", json!("0")),
        ("-0.00012::numeric", json!("-0.00012")),
        ("10000::numeric", json!("10000")),
        ("12345678901234567890.123456789::numeric", json!("12345678901234567890.123456789")),
        ("1e20::numeric", json!("100000000000000000000")),
        ("0.00000000000000000001::numeric", json!("0.00000000000000000001")),
        ("'NaN'::numeric", json!("NaN")),
        ("'-Infinity'::numeric", json!("-Infinity")),
        ("count(*)", json!(1)),
        ("(-12.34)::numeric::money", json!("-12.34")),
        ("4294967295::oid", json!(4_294_967_295_u32)),
        ("'pg_class'::regclass", json!(1259)),
        ("NULL::int4", json!(null)),
    ])
    .await;
}

#[tokio::test]
async fn a_numeric_is_what_postgresql_writes() {
    let bed = Bed::start().await;
    let rows = bed
        .query(
            "SELECT n AS v, n::text AS t FROM (SELECT ((random() - 0.5) * 10 ^ (random() * 40 - 20)::int)::numeric AS n \
             FROM generate_series(1, 500)) s",
        )
        .await
        .unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 500);
    for row in rows {
        assert_eq!(row["v"], row["t"]);
    }
}

#[tokio::test]
async fn texts_come_back_as_they_are() {
    check(&[
        ("'a\"b\\c\u{1}é'", json!("a\"b\\c\u{1}é")),
        ("'x'::\"char\"", json!("x")),
        ("''::\"char\"", json!("")),
        ("'flows'::name", json!("flows")),
        ("'ab'::char(4)", json!("ab  ")),
        ("'ab'::varchar(4)", json!("ab")),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("'\\x00ff10'::bytea", json!("AP8Q")),
        ("B'10110011101'", json!("10110011101")),
        ("B'101'::varbit", json!("101")),
        ("'a fat cat''s'::tsvector", json!("'a' 'cat''s' 'fat'")),
        ("'a:1A,3 b:2'::tsvector", json!("'a':1A,3 'b':2")),
        ("'(0,7)'::tid", json!("(0,7)")),
        ("'16/B374D848'::pg_lsn", json!("16/B374D848")),
        ("'$.a[*]'::jsonpath", json!("$.\"a\"[*]")),
        ("xmlparse(content '<a>b</a>')", json!("<a>b</a>")),
        ("pg_sleep(0)", json!(null)),
    ])
    .await;
}

#[tokio::test]
async fn json_comes_back_as_json() {
    check(&[
        ("'{\"a\": [1, null, \"x\"]}'::json", json!({"a": [1, null, "x"]})),
        ("'{\"a\": {\"b\": 1.5}}'::jsonb", json!({"a": {"b": 1.5}})),
        ("'\"\\u00e9\"'::json", json!("é")),
        ("'\"\\ud800\"'::json", json!("\"\\ud800\"")),
        ("(repeat('[', 200) || repeat(']', 200))::json", json!("[".repeat(200) + &"]".repeat(200))),
    ])
    .await;
}

#[tokio::test]
async fn times_are_rfc_3339() {
    check(&[
        ("'2024-02-29'::date", json!("2024-02-29")),
        ("'infinity'::date", json!("infinity")),
        ("'0044-03-15 BC'::date", json!("-000043-03-15")),
        ("'0001-12-31 BC'::date", json!("0000-12-31")),
        ("'12024-01-01'::date", json!("+012024-01-01")),
        ("'5874897-12-31'::date", json!("+5874897-12-31")),
        ("'4713-01-01 BC'::date", json!("-004712-01-01")),
        ("'12:34:56.789'::time", json!("12:34:56.789")),
        ("'24:00'::time", json!("24:00:00")),
        ("'12:34:56-08'::timetz", json!("12:34:56-08:00")),
        ("'12:34:56+05:30'::timetz", json!("12:34:56+05:30")),
        ("'2024-02-29 12:34:56.000001'::timestamp", json!("2024-02-29T12:34:56.000001")),
        ("'1969-12-31 23:59:59.5'::timestamp", json!("1969-12-31T23:59:59.5")),
        ("'2024-02-29 12:00:00+02'::timestamptz", json!("2024-02-29T10:00:00Z")),
        ("'-infinity'::timestamptz", json!("-infinity")),
        ("interval '1 year 2 mons 3 days 4 hours 5 mins 6.789 secs'", json!("P1Y2M3DT4H5M6.789S")),
        ("interval '0'", json!("PT0S")),
        ("interval '-1 day +2 hours'", json!("P-1DT2H")),
        ("interval '-0.5 secs'", json!("PT-0.5S")),
        ("interval '-14 mons'", json!("P-1Y-2M")),
    ])
    .await;
}

#[tokio::test]
async fn a_date_is_what_postgresql_counts() {
    let bed = Bed::start().await;
    let rows = bed
        .query(
            "SELECT d AS v, to_char(d, 'YYYY-MM-DD') AS t FROM (SELECT ('0001-01-01'::date + (random() * 3652058)::int) AS d \
             FROM generate_series(1, 500)) s",
        )
        .await
        .unwrap();
    for row in rows.as_array().unwrap() {
        assert_eq!(row["v"], row["t"]);
    }
}

#[tokio::test]
async fn addresses_and_shapes_are_the_text_that_postgresql_reads() {
    check(&[
        ("'10.0.0.1'::inet", json!("10.0.0.1")),
        ("'10.0.0.1/8'::inet", json!("10.0.0.1/8")),
        ("'10.0.0.0/8'::cidr", json!("10.0.0.0/8")),
        ("'10.0.0.1/32'::cidr", json!("10.0.0.1/32")),
        ("'2001:db8::1'::inet", json!("2001:db8::1")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        ("'08:00:2b:01:02:03:04:05'::macaddr8", json!("08:00:2b:01:02:03:04:05")),
        ("point '(1,2.5)'", json!("(1,2.5)")),
        ("lseg '[(1,2),(3,4)]'", json!("[(1,2),(3,4)]")),
        ("box '((1,2),(3,4))'", json!("(3,4),(1,2)")),
        ("line '{1,2,3}'", json!("{1,2,3}")),
        ("circle '<(1,2),3>'", json!("<(1,2),3>")),
        ("path '((1,2),(3,4))'", json!("((1,2),(3,4))")),
        ("path '[(1,2),(3,4)]'", json!("[(1,2),(3,4)]")),
        ("polygon '((1,2),(3,4),(5,0))'", json!("((1,2),(3,4),(5,0))")),
    ])
    .await;
}

#[tokio::test]
async fn what_is_made_of_values_nests() {
    check(&[
        ("ARRAY[1,NULL,3]", json!([1, null, 3])),
        ("'{}'::int4[]", json!([])),
        ("ARRAY[[1,2],[3,4]]", json!([[1, 2], [3, 4]])),
        ("'[2:3]={a,\"b c\"}'::text[]", json!(["a", "b c"])),
        ("ARRAY['1.50'::numeric]", json!(["1.50"])),
        ("'{\"{\\\"a\\\": 1}\"}'::jsonb[]", json!([{"a": 1}])),
        ("'1 2'::int2vector", json!([1, 2])),
        ("ROW(1, 'a', NULL::date, ARRAY[true])", json!({"f1": 1, "f2": "a", "f3": null, "f4": [true]})),
        ("'[1,10)'::int4range", json!("[1,10)")),
        ("'(,5]'::numrange", json!("(,5]")),
        ("'empty'::int8range", json!("empty")),
        ("'[2024-01-01,2024-02-01)'::daterange", json!("[2024-01-01,2024-02-01)")),
        ("tstzrange('2024-01-01 00:00Z', NULL, '[)')", json!("[2024-01-01T00:00:00Z,)")),
        ("'{[1,3),[5,7)}'::int4multirange", json!("{[1,3),[5,7)}")),
    ])
    .await;
}

#[tokio::test]
async fn types_of_the_operator_come_back_by_their_shape() {
    let bed = Bed::start().await;
    bed.server
        .run(
            "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
             CREATE TYPE mood AS ENUM ('sad', 'ok');
             CREATE DOMAIN positive AS int CHECK (VALUE > 0);
             CREATE TYPE address AS (street text, number positive, tags text[]);
             CREATE TYPE texts AS RANGE (subtype = text);",
        )
        .await;
    for (expression, expected) in [
        ("'ok'::mood", json!("ok")),
        ("ARRAY['ok','sad']::mood[]", json!(["ok", "sad"])),
        ("7::positive", json!(7)),
        ("ARRAY[7]::positive[]", json!([7])),
        (
            "ROW('Main \"St\"', 7, '{a,b}')::address",
            json!({"street": "Main \"St\"", "number": 7, "tags": ["a", "b"]}),
        ),
        ("texts('a b', 'c', '[]')", json!("[\"a b\",c]")),
        ("'a=>1, b=>NULL'::hstore", json!({"a": "1", "b": null})),
        ("'AbC'::citext", json!("AbC")),
        ("'a.b'::ltree", json!("a.b")),
    ] {
        let rows = bed.query(&format!("SELECT {expression} AS v")).await;
        assert_eq!(rows.unwrap_or_else(|error| panic!("{expression}: {error}")), json!([{"v": expected}]));
    }
    for (kind, given) in [
        ("mood", json!("sad")),
        ("mood[]", json!(["sad", null])),
        ("address", json!({"street": "a,\"b\"\\c", "number": 7, "tags": ["x\"y", "NULL", null]})),
        ("address[]", json!([{"street": "a b", "number": null, "tags": null}])),
        ("citext", json!("x")),
    ] {
        let rows = bed.query_with(&format!("SELECT $1::{kind} AS v"), std::slice::from_ref(&given)).await;
        assert_eq!(rows.unwrap_or_else(|error| panic!("{given}: {error}")), json!([{"v": given}]));
    }
    let result = bed.query_with("SELECT $1::address", &[json!({"streeet": "x"})]).await;
    let Err(Error::Invalid(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("`streeet`") && message.contains("street"), "{message}");
}

#[tokio::test]
async fn a_type_without_a_form_names_the_column_and_the_cast() {
    let bed = Bed::start().await;
    for expression in ["'a & b'::tsquery", "pg_current_snapshot()", "ROW(ROW('a & b'::tsquery))"] {
        let result = bed.query(&format!("SELECT {expression} AS odd")).await;
        let Err(Error::Invalid(message)) = result else { panic!("{expression}: {result:?}") };
        assert!(message.contains("`odd`") && message.contains("::text"), "{message}");
    }
    // PostgreSQL itself has no binary form for it, and says so before there is a row.
    let result = bed.query("SELECT 'flows=r/flows'::aclitem AS odd").await;
    let Err(Error::Invalid(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("aclitem") && message.contains("::text"), "{message}");
    assert_eq!(bed.query("SELECT ('a & b'::tsquery)::text AS v").await.unwrap(), json!([{"v": "'a' & 'b'"}]));
}

#[tokio::test]
async fn a_record_may_not_nest_without_end() {
    let bed = Bed::start().await;
    let deep = format!("SELECT {}1{} AS v", "ROW(".repeat(200), ")".repeat(200));
    let result = bed.query(&deep).await;
    let Err(Error::Limit(message)) = result else { panic!("{result:?}") };
    assert!(message.contains("`v`"), "{message}");
}

#[tokio::test]
async fn a_name_that_is_there_already_gets_a_number() {
    let bed = Bed::start().await;
    let rows = bed.query("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a, 5 AS \"x\"\"y\"").await.unwrap();
    assert_eq!(rows, json!([{"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4, "x\"y": 5}]));
}

#[tokio::test]
async fn parameters_are_taken_for_the_type_that_is_asked_for() {
    check_params(&[
        ("int4", json!(7), json!(7)),
        ("int4", json!(7.0), json!(7)),
        ("int4", json!("7"), json!(7)),
        ("int8", json!("9223372036854775807"), json!("9223372036854775807")),
        ("float8", json!(1.5), json!(1.5)),
        ("numeric", json!("1.10"), json!("1.10")),
        ("numeric", json!(1.5), json!("1.5")),
        ("numeric", json!(1e30), json!("1000000000000000000000000000000")),
        ("bool", json!(false), json!(false)),
        ("text", json!("a'b\"\\"), json!("a'b\"\\")),
        ("text", json!(7), json!("7")),
        ("text", json!(null), json!(null)),
        ("jsonb", json!({"a": [1, "x"]}), json!({"a": [1, "x"]})),
        ("jsonb", json!("text"), json!("text")),
        ("json", json!(null), json!(null)),
        ("uuid", json!("A0EEBC999C0B4EF8BB6D6BB9BD380A11"), json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("bytea", json!("AP8Q"), json!("AP8Q")),
        ("date", json!("2024-02-29"), json!("2024-02-29")),
        ("timestamptz", json!("2024-02-29T12:00:00+02:00"), json!("2024-02-29T10:00:00Z")),
        ("timestamp", json!("2024-02-29T12:00:00.5"), json!("2024-02-29T12:00:00.5")),
        ("interval", json!("P1DT2H"), json!("P1DT2H")),
        ("inet", json!("10.0.0.1"), json!("10.0.0.1")),
        ("int4range", json!("[1,10)"), json!("[1,10)")),
        ("point", json!("(1,2)"), json!("(1,2)")),
        ("int4[]", json!([1, null, 3]), json!([1, null, 3])),
        ("int4[]", json!([[1, 2], [3, 4]]), json!([[1, 2], [3, 4]])),
        ("int4[]", json!("{1,2}"), json!([1, 2])),
        ("int4[]", json!([]), json!([])),
        ("text[]", json!(["a,b", "NULL", null, "q\"\\", ""]), json!(["a,b", "NULL", null, "q\"\\", ""])),
        ("jsonb[]", json!([{"a": 1}, [1, 2], "x"]), json!([{"a": 1}, [1, 2], "x"])),
        ("bytea[]", json!(["AP8Q"]), json!(["AP8Q"])),
        ("box[]", json!(["(3,4),(1,2)", "(1,1),(0,0)"]), json!(["(3,4),(1,2)", "(1,1),(0,0)"])),
    ])
    .await;
}

#[tokio::test]
async fn a_parameter_of_another_type_is_refused_by_its_number() {
    check_refused(&[
        ("int4", json!(1.5), "int4"),
        ("int4", json!(true), "int4"),
        ("int4", json!("x"), "invalid input syntax"),
        ("int2", json!(70_000), "out of range"),
        ("bool", json!(1), "bool"),
        ("text", json!({"a": 1}), "::jsonb"),
        ("text", json!("a\u{0}b"), "zero byte"),
        ("uuid", json!("x"), "uuid"),
        ("bytea", json!("not base64!"), "base64"),
        ("timestamptz", json!(7), "timestamptz"),
        ("int4[]", json!(7), "list"),
        ("int4[]", json!([[1], 2]), ""),
        ("date", json!("2024-02-30"), "out of range"),
    ])
    .await;
}

#[tokio::test]
async fn parameters_have_to_be_as_many_as_the_statement_has() {
    let bed = Bed::start().await;
    for params in [vec![], vec![json!(1)], vec![json!(1), json!(2), json!(3)]] {
        let result = bed.query_with("SELECT $1::int4 + $2::int4 AS v", &params).await;
        let Err(Error::Invalid(message)) = result else { panic!("{result:?}") };
        assert!(message.contains("2 parameter"), "{message}");
    }
    assert_eq!(
        bed.query_with("SELECT $1::int4 + $2::int4 AS v", &[json!(1), json!(2)]).await.unwrap(),
        json!([{"v": 3}])
    );
}

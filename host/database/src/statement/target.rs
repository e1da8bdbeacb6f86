//! What a refused statement would have done, for the message.

use sqlparser::{
    dialect::{Dialect as Sql, PostgreSqlDialect, SQLiteDialect},
    keywords::Keyword,
    parser::Parser,
    tokenizer::Tokenizer,
};

use super::{Dialect, SHOWN_CHARS, class::Class};

/// How much text after the word that decided is looked at: a name stands near to it.
const LOOKED_AT_BYTES: usize = 1024;

/// `inserts into ``orders```; without the name where it can not be read.
///
/// Only the name is parsed. To parse the whole statement can take time that doubles with each parenthesis.
pub(super) fn does(text: &str, class: &Class<'_>, dialect: Dialect) -> String {
    let verb = class.verb.to_ascii_uppercase();
    let (does, alone) = match verb.as_str() {
        "INSERT" | "REPLACE" => ("inserts into", "inserts rows"),
        "UPDATE" => ("updates", "updates rows"),
        "DELETE" => ("deletes from", "deletes rows"),
        "MERGE" => ("merges into", "merges rows"),
        "INTO" => ("makes the table", "makes a table"),
        "TRUNCATE" => ("truncates", "truncates a table"),
        "CREATE" => ("creates", "creates something"),
        "ALTER" => ("alters", "alters something"),
        "DROP" => ("drops", "drops something"),
        _ => return format!("is a `{verb}`"),
    };
    match target(text, class.at, dialect) {
        Some(name) => format!("{does} `{name}`"),
        None => alone.to_owned(),
    }
}

fn target(text: &str, at: usize, dialect: Dialect) -> Option<String> {
    let sql: &dyn Sql = match dialect {
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::Postgres => &PostgreSqlDialect {},
    };
    let rest = text.get(at..)?;
    let near = rest.get(..rest.floor_char_boundary(LOOKED_AT_BYTES))?;
    // A string that does not end is no matter here: what comes before it is kept.
    let mut tokens = Vec::new();
    let _ = Tokenizer::new(sql, near).tokenize_with_location_into_buf(&mut tokens);
    let mut parser = Parser::new(sql).with_tokens_with_locations(tokens);
    parser.next_token();
    while parser.parse_one_of_keywords(&BETWEEN).is_some() {}
    let name = parser.parse_object_name(false).ok()?;
    let last = name.0.last()?.as_ident()?;
    Some(last.value.chars().take(SHOWN_CHARS).collect())
}

/// Words between the one that decided and the name.
const BETWEEN: [Keyword; 25] = [
    Keyword::INTO,
    Keyword::FROM,
    Keyword::ONLY,
    Keyword::OR,
    Keyword::REPLACE,
    Keyword::IGNORE,
    Keyword::ABORT,
    Keyword::FAIL,
    Keyword::ROLLBACK,
    Keyword::TABLE,
    Keyword::VIEW,
    Keyword::INDEX,
    Keyword::TRIGGER,
    Keyword::SEQUENCE,
    Keyword::SCHEMA,
    Keyword::TYPE,
    Keyword::VIRTUAL,
    Keyword::MATERIALIZED,
    Keyword::UNIQUE,
    Keyword::UNLOGGED,
    Keyword::TEMP,
    Keyword::TEMPORARY,
    Keyword::IF,
    Keyword::NOT,
    Keyword::EXISTS,
];

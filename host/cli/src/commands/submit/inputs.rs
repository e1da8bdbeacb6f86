//! Many inputs, one on each line.

use std::{fs::File, io, path::Path};

use serde_json::Value;
use stepcell_core::{
    Json,
    problem::{MAX_PROBLEMS, Problem},
    schema::Schema,
};

use crate::{
    error::Error,
    flow_file::{is_stdin, read_text, unreadable},
    listing::Listing,
};

/// The largest file of inputs, in bytes. All of it is checked before the first run starts, and is in memory from then on.
const INPUTS_BYTES_MAX: usize = 256 << 20;

/// The inputs of many runs, each with the line that it stands on.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The file as the user named it.
    pub(super) name: String,
    pub(super) lines: Vec<(usize, Json)>,
}

impl Inputs {
    /// Reads a file, or stdin where it is `-`. Blank lines are skipped; every other one has to be JSON that fits the
    /// flow's input schema.
    pub(super) fn read(path: &Path, schema: Option<&Value>) -> Result<Self, Error> {
        let (name, text) = if is_stdin(path) {
            ("stdin".to_owned(), read_text(io::stdin().lock(), INPUTS_BYTES_MAX))
        } else {
            let text = File::open(path).and_then(|file| read_text(file, INPUTS_BYTES_MAX));
            (path.display().to_string(), text)
        };
        let hint = "name a file with a JSON value on each line, or `-` for stdin";
        let text = text.map_err(|error| unreadable(&name, &error, hint))?;
        // A schema that is none is the flow's mistake: the server says so, with its place.
        let schema = schema.and_then(|schema| Schema::compile(schema).ok());
        let lines = lines(&text, schema.as_ref())
            .map_err(|problems| Error::Problems(Listing::new(name.clone(), problems)))?;
        if lines.is_empty() {
            return Err(Error::call("no_inputs", format!("`{name}` has no line with an input"), hint));
        }
        Ok(Self { name, lines })
    }
}

fn lines(text: &str, schema: Option<&Schema>) -> Result<Vec<(usize, Json)>, Vec<Problem>> {
    let (mut inputs, mut problems) = (Vec::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match input(line, schema) {
            Ok(input) => inputs.push((index + 1, input)),
            Err(found) => {
                let at = u32::try_from(index + 1).unwrap_or(u32::MAX);
                problems.extend(found.into_iter().map(|problem| Problem { line: at, ..problem }));
            }
        }
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() { Ok(inputs) } else { Err(problems) }
}

fn input(line: &str, schema: Option<&Schema>) -> Result<Json, Vec<Problem>> {
    let problem = |code, path, column, message| Problem { path, line: 0, column, code, message, hint: None };
    let input = Json::parse(line.trim().to_owned()).map_err(|error| {
        let indent = line.len() - line.trim_start().len();
        let column = u32::try_from(error.column() + indent).unwrap_or(u32::MAX).max(1);
        let reason = error.to_string();
        // The words at the end are the place within a text of one line.
        let reason = reason.split(" at line ").next().unwrap_or_default();
        vec![problem("invalid_json", String::new(), column, format!("this is not JSON: {reason}"))]
    })?;
    let errors = schema.map(|schema| schema.check(input.value())).unwrap_or_default();
    if errors.is_empty() {
        return Ok(input);
    }
    Err(errors.into_iter().map(|error| problem("input_invalid", error.path, 1, error.message)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, Json)>, Vec<Problem>> {
        let schema = json!({"type": "object", "required": ["id"]});
        lines(text, Some(&Schema::compile(&schema).unwrap()))
    }

    #[test]
    fn inputs_keep_the_numbers_of_their_lines() {
        let inputs = read("{\"id\": 1}\r\n\n  {\"id\": 2.0}\n").unwrap();
        let shown: Vec<_> = inputs.iter().map(|(line, input)| (*line, input.text())).collect();
        assert_eq!(shown, [(1, r#"{"id": 1}"#), (3, r#"{"id": 2.0}"#)]);
    }

    #[test]
    fn every_wrong_line_is_named() {
        let problems = read("{\"id\": 1}\n  {\"id\" 2}\n{}\n[1]\n").unwrap_err();
        let listing = Listing::new("orders.jsonl", problems).to_string();
        insta::assert_snapshot!(listing);
    }

    #[test]
    fn mistakes_are_listed_up_to_a_limit() {
        let problems = read(&"{}\n".repeat(10 * MAX_PROBLEMS)).unwrap_err();
        assert_eq!(problems.len(), MAX_PROBLEMS);
    }

    #[test]
    fn an_empty_file_is_a_mistake() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Inputs::read(file.path(), None), Err(Error::Call { .. })));
    }
}

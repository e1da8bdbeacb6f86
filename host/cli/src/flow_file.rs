//! The files and texts that the user names: flows and inputs.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use stepcell_core::{
    Json,
    flow::MAX_FLOW_BYTES,
    parse::{self, Document, Format, Parsed},
};

use crate::{args::InputArgs, error::Error, listing::Listing};

/// The largest input that is read, in bytes. Protects memory from an endless stdin; a server has a limit of its
/// own for the whole body.
pub(crate) const INPUT_BYTES_MAX: usize = 16 << 20;

/// A flow as it stands in its file.
#[derive(Debug)]
pub(crate) struct FlowText {
    /// As the user named it.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) format: Format,
}

impl FlowText {
    /// Reads a flow file, JSON where its name says so, else YAML.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let hint = "name a flow file, such as `examples/order-intake.yaml`";
        let name = path.display().to_string();
        let text = File::open(path).and_then(|file| read_text(file, MAX_FLOW_BYTES));
        let text = text.map_err(|error| unreadable(&name, &error, hint))?;
        Ok(Self { name, text, format: format_of(path) })
    }

    /// The flow, or everything that is wrong with its text.
    pub(crate) fn parse(&self) -> Result<Parsed, Error> {
        parse::parse(&self.text, self.format)
            .map_err(|problems| Error::Problems(Listing::new(self.name.clone(), problems)))
    }

    /// The text without its meaning as a flow.
    pub(crate) fn document(&self) -> Result<Document, Error> {
        Document::read(&self.text, self.format, MAX_FLOW_BYTES)
            .map_err(|problems| Error::Problems(Listing::new(self.name.clone(), problems)))
    }
}

/// JSON where the name ends in `.json`, else YAML, of which JSON is nearly a part.
fn format_of(path: &Path) -> Format {
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if json { Format::Json } else { Format::Yaml }
}

/// A value that the user gives on the command line or in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// The flag that takes it on the command line.
    flag: &'static str,
    text: Option<&'a str>,
    file: Option<&'a Path>,
}

impl<'a> Given<'a> {
    pub(crate) fn new(flag: &'static str, text: Option<&'a str>, file: Option<&'a Path>) -> Self {
        Self { flag, text, file }
    }

    /// The input of a run.
    pub(crate) fn input(args: &'a InputArgs) -> Self {
        Self::new("--input", args.input.as_deref(), args.input_file.as_deref())
    }

    /// Where it comes from, for messages.
    pub(crate) fn name(&self) -> String {
        match self.file {
            Some(path) if is_stdin(path) => "stdin".to_owned(),
            Some(path) => path.display().to_string(),
            None => self.flag.to_owned(),
        }
    }

    /// What was given, if anything.
    pub(crate) fn read(&self) -> Result<Option<Json>, Error> {
        let text = match (self.text, self.file) {
            (Some(text), _) => return value(&self.name(), text).map(Some),
            (None, Some(path)) if is_stdin(path) => read_text(io::stdin().lock(), INPUT_BYTES_MAX),
            (None, Some(path)) => File::open(path).and_then(|file| read_text(file, INPUT_BYTES_MAX)),
            (None, None) => return Ok(None),
        };
        let hint = "name a JSON or YAML file, or `-` for stdin";
        let text = text.map_err(|error| unreadable(&self.name(), &error, hint))?;
        value(&self.name(), &text).map(Some)
    }
}

/// The input of a run: what was given, else `{}`.
pub(crate) fn input(args: &InputArgs) -> Result<Json, Error> {
    Ok(Given::input(args).read()?.unwrap_or_else(|| Json::from(serde_json::json!({}))))
}

/// Whether a path stands for stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// JSON is taken as it is; what is no JSON is read as YAML, in the same way as a flow.
fn value(name: &str, text: &str) -> Result<Json, Error> {
    if let Ok(json) = Json::parse(text.trim().to_owned()) {
        return Ok(json);
    }
    Document::read(text, Format::Yaml, INPUT_BYTES_MAX)
        .map(|document| Json::from(document.value()))
        .map_err(|problems| Error::Problems(Listing::new(name, problems)))
}

/// A text of at most this many bytes.
pub(crate) fn read_text(source: impl Read, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_string(&mut text)?;
    if text.len() > bytes_max {
        let message = format!("it has more than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

pub(crate) fn unreadable(name: &str, error: &io::Error, hint: &str) -> Error {
    Error::call("file_unreadable", format!("`{name}` can not be read: {error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let args = InputArgs { input: Some(text.to_owned()), input_file: None };
        assert_eq!(input(&args).unwrap().to_string(), expected);
    }

    #[test]
    fn inputs_are_json_or_yaml() {
        check(r#"{"id": "A-17"}"#, r#"{"id": "A-17"}"#);
        check("id: A-17\nlines: [1, 2.5]", r#"{"id":"A-17","lines":[1,2.5]}"#);
        check("17", "17");
    }

    #[test]
    fn no_input_is_an_empty_object() {
        assert_eq!(input(&InputArgs::default()).unwrap().text(), "{}");
    }

    #[test]
    fn broken_inputs_are_listed_with_their_place() {
        let args = InputArgs { input: Some("{a: [}".to_owned()), input_file: None };
        let Err(Error::Problems(listing)) = input(&args) else { panic!("accepted") };
        assert_eq!(listing.file, "--input");
        assert_eq!(listing.errors.first().map(|entry| entry.line), Some(1));
    }

    #[test]
    fn too_much_text_is_refused() {
        let error = read_text(io::repeat(b'x'), 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn only_json_files_are_read_as_json() {
        assert_eq!(format_of(Path::new("a/flow.JSON")), Format::Json);
        assert_eq!(format_of(Path::new("flow.yaml")), Format::Yaml);
        assert_eq!(format_of(Path::new("flow")), Format::Yaml);
    }
}

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

/// What a call of the binary printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The output as one text, for snapshots.
    pub fn shown(&self) -> String {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        format!(
            "exit: {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }

    /// The JSON on stdout.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.shown()))
    }
}

/// A call of the binary, not started yet, in an environment that holds nothing of the developer's.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::target().join("debug/stepcell"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("STEPCELL_CACHE", crate::cache())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Calls the binary in a folder and waits for its end.
///
/// # Panics
/// Where it can not be started.
#[track_caller]
pub fn stepcell(folder: &Path, arguments: &[&str]) -> Output {
    Call::start(folder, arguments).end()
}

/// A call of the binary that goes on.
pub struct Call {
    process: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Call {
    /// Calls the binary in a folder.
    ///
    /// # Panics
    /// Where it can not be started.
    #[track_caller]
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let spawned = command(folder, arguments).spawn();
        let mut process = spawned.expect("the binary is built by `cargo xtask test`");
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        Self { process, stderr, said: String::new() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line on stderr with this text.
    ///
    /// # Panics
    /// Where it ends before.
    #[track_caller]
    pub fn until_said(&mut self, text: &str) {
        let before = self.said.len();
        while !self.said.get(before..).is_some_and(|said| said.contains(text)) {
            let read = self.stderr.read_line(&mut self.said).expect("it prints UTF-8");
            assert!(read > 0, "it ended without saying `{text}`: {}", self.said);
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Output {
        let mut stdout = self.process.stdout.take().expect("it is piped");
        // Both at once, so that it never waits for a reader.
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        self.stderr.read_to_string(&mut self.said).expect("it prints UTF-8");
        let stdout = stdout.join().expect("the thread does not panic").expect("it prints UTF-8");
        let code = self.process.wait().expect("it was started").code();
        Output { code, stdout, stderr: self.said }
    }
}

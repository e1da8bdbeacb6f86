//! A shell between the test and its server. Its standard input ends when the test's process does, however that
//! ended: then it stops the server and removes the cluster.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use super::{cluster::Cluster, poll, read};

/// `$1` is the server's program, `$2` the cluster's folder. An order is `start PORT` or `stop`.
const SCRIPT: &str = r#"
start() {
    rm -f "$2/data/postmaster.pid"
    "$1" -D "$2/data" -p "$port" </dev/null >"$2/log" 2>&1 &
    server=$!
}
stop() {
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
}
while read -r order port; do
    "$order" "$1" "$2"
    echo done
done
stop
rm -rf "$2"
"#;

pub(super) struct Keeper {
    process: Child,
    answers: BufReader<ChildStdout>,
    /// The cluster's.
    folder: PathBuf,
}

impl Keeper {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "keeper"])
            .arg(cluster.programs.join("postgres"))
            .arg(&cluster.folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A signal to the test's group must not end the keeper before it has done its work.
            .process_group(0);
        if let Some(owner) = cluster.owner {
            owner.runs(&mut command);
        }
        let mut process = command.spawn().expect("every system has a shell");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, answers, folder: cluster.folder.clone() }
    }

    /// Starts the server and waits until it takes connections; false where another has the port.
    pub(super) fn start(&mut self, port: u16) -> bool {
        self.order(&format!("start {port}"));
        let started = poll(|| {
            let log = self.log();
            if log.contains("could not create any TCP/IP sockets") {
                self.order("stop");
                return Some(false);
            }
            assert!(!log.contains("FATAL"), "PostgreSQL does not start: {log}");
            self.takes_connections().then_some(true)
        });
        started.unwrap_or_else(|| panic!("PostgreSQL did not start: {}", self.log()))
    }

    /// Ends the server at once.
    pub(super) fn stop(&mut self) {
        self.order("stop");
    }

    fn log(&self) -> String {
        read(&self.folder.join("log"))
    }

    fn takes_connections(&self) -> bool {
        // The last line is the server's state.
        read(&self.folder.join("data/postmaster.pid"))
            .lines()
            .last()
            .is_some_and(|state| state.trim() == "ready")
    }

    fn order(&mut self, order: &str) {
        let stdin = self.process.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{order}").expect("the keeper lives as long as the test");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer, "done\n", "the keeper carries out `{order}`");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Its input ends, and so does it, after the server.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

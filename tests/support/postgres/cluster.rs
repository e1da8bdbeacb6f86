//! Clusters are copies of one that is made once and kept in `target/`: making one takes seconds, copying it a blink.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const MISSING: &str =
    "PostgreSQL is not installed: `cargo xtask setup` installs it (in Debian, `apt-get install postgresql`)";

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Appended to the cluster's own. A test's data need not outlive the machine, so that nothing is synced.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 16MB
fsync = off
synchronous_commit = off
full_page_writes = off
jit = off
ssl = on
";

const USERS: &str = "\
CREATE ROLE flows LOGIN NOINHERIT PASSWORD 'flows'
CREATE ROLE flows_ro
GRANT flows_ro TO flows
";

/// A cluster that belongs to one server.
pub(super) struct Cluster {
    /// Holds `data/`, and what the server says in `log`. The keeper removes it.
    pub(super) folder: PathBuf,
    pub(super) programs: PathBuf,
    pub(super) owner: Option<Owner>,
}

/// Whom the server runs as where the tests are run by root: it refuses to be root.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    pub(super) fn runs(self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }
}

impl Cluster {
    pub(super) fn copied() -> Self {
        let programs = programs();
        let owner = owner();
        let template = template(&programs, owner);
        let folder = temporary(owner);
        copy(&template, &folder.join("data"), owner);
        Self { folder, programs, owner }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Writes a file that nobody but the server reads.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::write(&path, text).expect("the cluster is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        give(&path, self.owner);
    }
}

/// The folder of the newest `postgres` there is.
fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| is_complete(folder))
        .collect();
    versions.sort();
    if let Some((_, folder)) = versions.pop() {
        return folder;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|folder| is_complete(folder)).expect(MISSING)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn owner() -> Option<Owner> {
    let root = fs::metadata("/proc/self").expect("the process can see itself").uid() == 0;
    root.then(|| {
        let users = fs::read_to_string("/etc/passwd").expect("every system has users");
        let user = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
            Some(Owner { user: ids.next()??, group: ids.next()?? })
        };
        user("postgres").or_else(|| user("nobody")).expect("a user who is not root")
    })
}

/// The cluster that others are copied from; made where it is not there yet.
fn template(programs: &Path, owner: Option<Owner>) -> PathBuf {
    let version = Command::new(programs.join("postgres")).arg("--version").output().expect(MISSING);
    let mut name = String::from_utf8_lossy(&version.stdout).into_owned();
    // What the cluster is made of is part of its name, so that a change makes another one.
    name.push_str(SETTINGS);
    name.push_str(USERS);
    let template = crate::target().join(format!("test-postgres-{:08x}", checksum(&name)));
    let lock = fs::File::create(crate::target().join("test-postgres.lock")).expect("target is ours");
    lock.lock().expect("the file system has locks");
    if !template.is_dir() {
        let folder = temporary(owner);
        make(programs, &folder.join("data"), owner);
        let unfinished = template.with_extension("unfinished");
        // Left behind by a process that was killed here.
        let _ = fs::remove_dir_all(&unfinished);
        copy(&folder.join("data"), &unfinished, None);
        fs::remove_dir_all(&folder).expect("the folder is ours");
        fs::rename(&unfinished, &template).expect("nobody else makes it");
    }
    template
}

/// FNV-1a: a name, no protection.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn make(programs: &Path, data: &Path, owner: Option<Owner>) {
    let password = data.with_file_name("password");
    fs::write(&password, "postgres\n").expect("the folder is ours");
    give(&password, owner);
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .arg("--pgdata")
        .arg(data)
        .arg("--pwfile")
        .arg(&password)
        .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
        .args(["--no-sync", "--wal-segsize=1"]);
    finish(initdb, owner, "");
    let settings = data.join("postgresql.conf");
    let mut text = fs::read_to_string(&settings).expect("initdb wrote it");
    text.push_str(SETTINGS);
    fs::write(&settings, text).expect("the folder is ours");
    let mut single = Command::new(programs.join("postgres"));
    // The certificate comes with each copy.
    single.args(["--single", "-c", "ssl=off", "-D"]).arg(data).arg("postgres");
    finish(single, owner, USERS);
}

/// Runs a program of PostgreSQL to its end.
fn finish(mut command: Command, owner: Option<Owner>, input: &str) {
    if let Some(owner) = owner {
        owner.runs(&mut command);
    }
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the program is there");
    process.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// A folder outside the checkout: the server's user may have no way into that.
fn temporary(owner: Option<Owner>) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("stepcell-postgres-").tempdir().expect("a temporary folder");
    let folder = folder.keep();
    give(&folder, owner);
    folder
}

fn copy(from: &Path, to: &Path, owner: Option<Owner>) {
    fs::create_dir(to).expect("the folder is new");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
    give(to, owner);
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("the entry is there").is_dir() {
            copy(&entry.path(), &to, owner);
        } else {
            fs::copy(entry.path(), &to).expect("the file can be copied");
            give(&to, owner);
        }
    }
}

fn give(path: &Path, owner: Option<Owner>) {
    if let Some(Owner { user, group }) = owner {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

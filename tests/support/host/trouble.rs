//! Machines that let a host down. All of it is done by the kernel, to the real binary.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::Host;

/// Where the host keeps its data, seen from its folder.
const DATA: &str = "stepcell-data";
const BALLAST: &str = "ballast";
/// What the kernel calls `fdatasync`, and a fault of the disk.
const FDATASYNC: i64 = if cfg!(target_arch = "x86_64") { 75 } else { 83 };
const EIO: u32 = 5;

impl Host {
    /// Leaves no byte free on a [small disk](super::HostBuilder::small_disk).
    pub fn fill_disk(&self) {
        self.fill_disk_but(0);
    }

    /// Leaves so many bytes free on a [small disk](super::HostBuilder::small_disk).
    pub fn fill_disk_but(&self, free: u64) {
        let path = self.small_disk().join(BALLAST);
        let mut ballast = File::create(&path).expect("the disk is there");
        let mut size = 1 << 20;
        while size > 0 {
            match ballast.write(&vec![0; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("{error}"),
            }
        }
        let filled = ballast.metadata().expect("it is open").len();
        ballast.set_len(filled.checked_sub(free).expect("so much was free")).expect("it gets smaller");
    }

    /// Frees what [`fill_disk`](Self::fill_disk) has taken.
    pub fn clear_disk(&self) {
        fs::remove_file(self.small_disk().join(BALLAST)).expect("the disk was filled");
    }

    /// Only the host's own process sees it where it is.
    fn small_disk(&self) -> PathBuf {
        let folder = self.folder().canonicalize().expect("it is there");
        let seen_from_root = folder.strip_prefix("/").expect("it begins there");
        PathBuf::from(format!("/proc/{}/root", self.pid())).join(seen_from_root).join(DATA)
    }
}

/// Calls a command where the data folder is a file system of its own, of this many MiB, in memory. It is gone with
/// the process.
pub(super) fn on_small_disk(command: &Command, folder: &Path, mebibytes: u32) -> Command {
    fs::create_dir_all(folder.join(DATA)).expect("the folder is ours");
    let mut wrapped = Command::new("unshare");
    // A user without rights has them in a namespace of its own.
    if fs::metadata("/proc/self").map(|own| own.uid()).ok() != Some(0) {
        wrapped.args(["--user", "--map-root-user"]);
    }
    let script = format!("mount -t tmpfs -o size={mebibytes}m small {DATA} && exec \"$0\" \"$@\"");
    wrapped.args(["--mount", "sh", "-c", &script]).arg(command.get_program()).args(command.get_args());
    wrapped.env_clear().current_dir(folder);
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped
}

/// Starts a command for which every `fdatasync` fails, as on a disk that has died. `fsync` works, so that it gets as
/// far as its first commit.
pub(super) fn spawn_with_failing_syncs(mut command: Command) -> io::Result<Child> {
    // A filter is handed down from the thread that starts a process, and can not be taken off.
    let spawned = thread::spawn(move || {
        let arch = TargetArch::try_from(std::env::consts::ARCH).expect("the filter knows this machine");
        let rules = [(FDATASYNC, Vec::new())].into();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EIO), arch);
        let program = BpfProgram::try_from(filter.expect("a small filter")).expect("a small program");
        seccompiler::apply_filter(&program).expect("anybody may give up rights");
        command.spawn()
    });
    spawned.join().expect("the thread does not panic")
}

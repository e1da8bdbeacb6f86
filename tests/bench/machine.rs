//! What the operating system says of processes, disks and the machine.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// As much as a small record.
const RECORD_BYTES: usize = 512;
/// What `statfs` says of a file system that is kept in memory.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The memory of a process that is not on a disk, in megabytes.
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// How many threads wanted to run in the last minute, on average: what others did on the machine meanwhile.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().context("an empty /proc/loadavg")?.parse()?)
}

/// Bytes that a folder takes on its disk.
pub(crate) fn disk_bytes(folder: &Path) -> Result<u64> {
    /// The unit of `st_blocks`, whatever the file system's own is.
    const BLOCK: u64 = 512;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        bytes += match entry.metadata()? {
            metadata if metadata.is_dir() => disk_bytes(&entry.path())?,
            metadata => metadata.blocks() * BLOCK,
        };
    }
    Ok(bytes)
}

/// Appends small records to a file in a folder and syncs each: the floor of everything durable. Refuses a folder in
/// memory, where a sync costs nothing and durability says nothing.
pub(crate) fn appends(folder: &Path, count: usize) -> Result<Vec<Duration>> {
    if rustix::fs::statfs(folder)?.f_type == TMPFS_MAGIC {
        bail!("`{}` is kept in memory: set `TMPDIR` to a folder on a disk", folder.display());
    }
    let path = folder.join("appends");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        file.write_all(&[7; RECORD_BYTES])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(path)?;
    Ok(times)
}

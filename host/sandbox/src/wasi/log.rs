//! Standard output and standard error: the step's log.

use std::{mem, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynOutputStream, OutputStream, Pollable, StreamResult,
    bindings::cli::{stderr, stdout},
};

use super::View;

/// The most that one attempt may print. Protects the store: a step that prints in a loop fills no disk.
pub(crate) const LOG_BYTES_MAX: usize = 64 << 10;

/// The most that a guest may write to a stream at once. Bounds what the host copies for one call.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What one attempt printed, in the order in which it printed it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    text: Vec<u8>,
    dropped_bytes: u64,
}

impl Log {
    fn write(&mut self, bytes: &[u8]) {
        let room = LOG_BYTES_MAX.saturating_sub(self.text.len());
        let (kept, dropped) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.text.extend_from_slice(kept);
        self.dropped_bytes += dropped.len() as u64;
    }

    /// The text, with whatever is no UTF-8 replaced, and the bytes that did not fit.
    pub(crate) fn take(&mut self) -> (String, u64) {
        let mut bytes = mem::take(&mut self.text);
        let mut dropped = mem::take(&mut self.dropped_bytes);
        if dropped > 0 {
            // The limit may have cut a character in two.
            let whole = bytes.utf8_chunks().fold(0, |end, chunk| {
                end + chunk.valid().len()
                    + if is_cut_off(chunk.invalid()) { 0 } else { chunk.invalid().len() }
            });
            dropped += (bytes.len() - whole) as u64;
            bytes.truncate(whole);
        }
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        (text, dropped)
    }
}

/// Whether these bytes are the beginning of a character, rather than no part of any.
fn is_cut_off(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// One handle on the log. Every write is taken at once, so that nothing ever waits.
struct LogStream(Arc<Mutex<Log>>);

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl View<'_> {
    fn log_stream(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(LogStream(Arc::clone(self.wasi.log())));
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for View<'_> {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.log_stream()
    }
}

impl stderr::Host for View<'_> {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.log_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(writes: &[&[u8]], text: &str, dropped: u64) {
        let mut log = Log::default();
        for bytes in writes {
            log.write(bytes);
        }
        let (got, got_dropped) = log.take();
        assert!(got == text, "{got:.80}");
        assert_eq!(got_dropped, dropped);
    }

    #[test]
    fn keeps_what_fits_and_counts_the_rest() {
        let full = "x".repeat(LOG_BYTES_MAX);
        check(&[b"a", b"b\n"], "ab\n", 0);
        check(&[full.as_bytes()], &full, 0);
        check(&[full.as_bytes(), b"more"], &full, 4);
        check(&[b"a", full.as_bytes()], &format!("a{}", "x".repeat(LOG_BYTES_MAX - 1)), 1);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        let almost = "x".repeat(LOG_BYTES_MAX - 1);
        check(&[almost.as_bytes(), "é".as_bytes()], &almost, 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        check(&[b"a\xffb"], "a\u{fffd}b", 0);
    }
}

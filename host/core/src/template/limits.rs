//! What resolving one template may use. A flow comes from outside: no expression may stall or fill the host.

use std::cell::Cell;

use super::value::Reason;

/// The longest expression between `{{` and `}}`, in bytes. Bounds what a run keeps compiled.
pub(super) const MAX_EXPRESSION_BYTES: usize = 16 << 10;
/// The most tokens of an expression. Bounds the parser's recursion, which follows `not not …` and `- - …`
/// without a limit of its own.
pub(super) const MAX_TOKENS: usize = 1_000;
/// How deep an expression may nest. Protects the stack of the evaluator.
pub(super) const MAX_NESTING: usize = 150;
/// How deep the result may nest: what a JSON parser takes that stops at 128, as ours and most others do.
pub(super) const MAX_RESULT_DEPTH: usize = 127;
/// Units of work of one resolve, about one per value that is looked at or made. Keeps it under about 0.1 s:
/// templates are resolved where other runs wait.
pub(super) const MAX_WORK: u64 = 1_000_000;
/// Bytes that one resolve may make on the way to its result. Protects the host's memory.
pub(super) const MAX_MADE_BYTES: usize = 64 << 20;
/// Bytes of JSON text that one resolve may give: twice the largest output of a step.
pub(super) const MAX_RESULT_BYTES: usize = 32 << 20;
/// How many bytes of text are one unit of work.
const BYTES_PER_WORK: usize = 256;

/// What is left of the limits while one template is resolved. Shared by reference through the evaluator.
pub(super) struct Budget {
    work: Cell<u64>,
    made: Cell<usize>,
    result: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            work: Cell::new(MAX_WORK),
            made: Cell::new(MAX_MADE_BYTES),
            result: Cell::new(MAX_RESULT_BYTES),
        }
    }

    /// Pays for looking at `count` values.
    pub(super) fn work(&self, count: usize) -> Result<(), Reason> {
        let left = self.work.get().checked_sub(count as u64);
        self.work.set(left.ok_or_else(|| {
            Reason::new(format!("it takes more than {MAX_WORK} units of work"))
                .hint("do it in a step, such as `inline_code`")
        })?);
        Ok(())
    }

    /// Pays for going through `bytes` bytes of text once.
    pub(super) fn scan(&self, bytes: usize) -> Result<(), Reason> {
        self.work(1 + bytes / BYTES_PER_WORK)
    }

    /// Pays for text or values made on the way; before they are made.
    pub(super) fn make(&self, bytes: usize) -> Result<(), Reason> {
        self.scan(bytes)?;
        let left = self.made.get().checked_sub(bytes);
        self.made.set(left.ok_or_else(|| {
            Reason::new(format!("it makes more than {} MiB on the way", MAX_MADE_BYTES >> 20))
                .hint("do it in a step, such as `inline_code`")
        })?);
        Ok(())
    }

    /// Pays for bytes of the result; before they are written.
    pub(super) fn result(&self, bytes: usize) -> Result<(), Reason> {
        let left = self.result.get().checked_sub(bytes);
        self.result.set(left.ok_or_else(|| {
            Reason::new(format!("the result is over {} MiB", MAX_RESULT_BYTES >> 20))
                .hint("pass on less of the output, or a reference to where it lies")
        })?);
        Ok(())
    }
}

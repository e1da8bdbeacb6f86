//! How far many runs have come, on stderr: a bar at a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::note;

/// How often a line tells where nobody sees a bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often the bar's clock moves.
const TICK: Duration = Duration::from_millis(200);
const BAR: &str = "{bar:30.cyan} {pos}/{len}  {msg}  {elapsed:.dim}  {eta:.dim} left";

#[derive(Debug)]
pub(super) struct Progress {
    total: usize,
    ended: usize,
    failed: usize,
    /// None where there is no terminal.
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Progress {
    pub(super) fn new(total: usize, terminal: Option<MultiProgress>) -> Self {
        let bar = terminal.map(|terminal| {
            let bar = terminal.add(ProgressBar::new(total as u64));
            // The template is a constant; a test draws with it.
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { total, ended: 0, failed: 0, bar, told: Instant::now() }
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, succeeded: bool) {
        self.ended += 1;
        self.failed += usize::from(!succeeded);
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{} failed", self.failed));
                bar.inc(1);
            }
            None if self.told.elapsed() >= LINE_EVERY => {
                self.told = Instant::now();
                note(&format!("{} of {} runs have ended, {} failed", self.ended, self.total, self.failed));
            }
            None => {}
        }
    }

    /// Writes a line, above the bar where there is one.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note(line),
        }
    }

    /// Takes the bar away; the summary follows.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    #[test]
    fn the_bar_counts_what_has_ended_and_failed() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
        let terminal = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut progress = Progress::new(40, Some(terminal));
        progress.ended(true);
        progress.ended(false);
        let bar = progress.bar.as_ref().unwrap();
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (2, Some(40), "1 failed"));
        progress.finish();
    }
}

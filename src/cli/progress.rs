//! Progress on a terminal as a bar, elsewhere as a few plain lines. Always on stderr: stdout is for answers.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::table::harmless;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one piece of work.
pub(super) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    title: String,
    /// The last plain line and when it was said: nothing is said twice.
    said: Option<(Instant, String)>,
    /// Where and when this began to move.
    moved: Option<(Instant, u64)>,
}

impl Progress {
    /// Starts to show `title`, with the total unknown.
    pub(super) fn start(title: impl Into<String>) -> Self {
        let (title, terminal) = (title.into(), std::io::stderr().is_terminal());
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_message(title.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, terminal, title, said: None, moved: None }
    }

    /// Says what is being done; how far it is stays as it is.
    pub(super) fn note(&mut self, note: &str) {
        let note = harmless(note).into_owned();
        self.bar.set_prefix(note.clone());
        self.plain(format!("{}: {note}", self.title));
    }

    /// `done` of `total`; a total of 0 means that it is not known.
    pub(super) fn at(&mut self, done: u64, total: u64, note: &str) {
        if total > 0 && self.bar.length() != Some(total) {
            self.bar.set_length(total);
            // Both templates are constants; a broken one would leave the default look.
            if let Ok(style) =
                ProgressStyle::with_template("{msg:.bold} [{wide_bar:.cyan}] {percent:>3} % {prefix}")
            {
                self.bar.set_style(style.progress_chars("━╸ "));
            }
        }
        let mut note = harmless(note).into_owned();
        if let Some(left) = self.left(done, total) {
            note = format!("{note}, about {left} s left");
        }
        self.bar.set_prefix(note.clone());
        self.bar.set_position(done);
        let share = (100 * done).checked_div(total).map(|share| format!(" {share} %")).unwrap_or_default();
        self.plain(format!("{}:{share} {note}", self.title));
    }

    /// Seconds left at the pace so far, once there is one.
    fn left(&mut self, done: u64, total: u64) -> Option<u64> {
        if done == 0 || done >= total {
            return None;
        }
        let (since, from) = *self.moved.get_or_insert((Instant::now(), done));
        let elapsed = since.elapsed().as_secs_f64();
        if done <= from || elapsed < 1.0 {
            return None;
        }
        Some((elapsed * (total - done) as f64 / (done - from) as f64).ceil() as u64)
    }

    /// A line where there is no bar: at most one each few seconds, and none like the one before.
    fn plain(&mut self, line: String) {
        let due = self.said.as_ref().is_none_or(|(at, said)| at.elapsed() >= LINE_EVERY && *said != line);
        if !self.terminal && due {
            self.line(&line);
            self.said = Some((Instant::now(), line));
        }
    }

    /// Takes the bar away and leaves one line.
    pub(super) fn finish(self, line: &str) {
        self.bar.finish_and_clear();
        self.line(line);
    }

    #[expect(clippy::print_stderr, reason = "progress is for the person at the terminal, not for a pipe")]
    fn line(&self, line: &str) {
        eprintln!("{}", harmless(line.trim_end()));
    }
}

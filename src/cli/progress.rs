//! Progress on a terminal as a bar, elsewhere as a few plain lines. Always on stderr: stdout is for answers.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one piece of work.
pub(super) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    title: String,
    said: Option<Instant>,
}

impl Progress {
    /// Starts to show `title`, with the total unknown.
    pub(super) fn start(title: impl Into<String>) -> Self {
        let (title, terminal) = (title.into(), std::io::stderr().is_terminal());
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_message(title.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, terminal, title, said: None }
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
        self.bar.set_prefix(note.to_owned());
        self.bar.set_position(done);
        if !self.terminal && self.said.is_none_or(|said| said.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            let share =
                (100 * done).checked_div(total).map(|share| format!(" {share} %")).unwrap_or_default();
            self.line(&format!("{}:{share} {note}", self.title));
        }
    }

    /// Takes the bar away and leaves one line.
    pub(super) fn finish(self, line: &str) {
        self.bar.finish_and_clear();
        self.line(line);
    }

    #[expect(clippy::print_stderr, reason = "progress is for the person at the terminal, not for a pipe")]
    fn line(&self, line: &str) {
        eprintln!("{}", line.trim_end());
    }
}

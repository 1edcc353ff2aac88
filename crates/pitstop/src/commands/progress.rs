//! What package sets do meanwhile: a line that moves on a terminal, and nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use pitstop_host::provide::Event;
use std::time::Duration;

use crate::output::{Output, shown};

/// Shows how far the building of a soname index has come, where a person watches.
pub(super) fn indexing(output: &Output) -> impl FnMut(usize) + use<> {
    let watched = output.shows_progress();
    let mut bar: Option<ProgressBar> = None;
    move |libraries| {
        if !watched {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} making the soname index: {pos} libraries")
            {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(libraries as u64);
    }
}

/// The line.
pub(super) struct Progress<'a> {
    bar: ProgressBar,
    output: &'a Output,
}

impl<'a> Progress<'a> {
    /// A line that is drawn only where a person watches.
    pub(super) fn new(output: &'a Output) -> Self {
        let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
        if output.shows_progress() {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar, output }
    }

    /// Shows what happens.
    pub(super) fn show(&mut self, event: &Event) {
        let message = match event {
            Event::Step(step) => shown(step),
            Event::Building(what) => format!("building {}", shown(what)),
            Event::Downloading(what) => format!("downloading {}", shown(what)),
            Event::Finished(what) => format!("{} is there", shown(what)),
            Event::Bytes { done, expected } if *expected > 0 => {
                format!("downloaded {} of {} kB", done / 1000, expected / 1000)
            }
            Event::Bytes { done, .. } => format!("downloaded {} kB", done / 1000),
            Event::Warning(words) => {
                self.bar.suspend(|| self.output.warning(&shown(words)));
                return;
            }
        };
        self.output.detail(&message);
        self.bar.set_message(message);
    }

    /// Shows these words in place of those before.
    pub(super) fn say(&mut self, message: String) {
        self.bar.set_message(message);
    }

    /// Takes the line away.
    pub(super) fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

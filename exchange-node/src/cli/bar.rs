//! How far long work is: one bar for each of its stages, where somebody watches.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use super::Call;

/// The bar of work with stages `S`.
pub(super) struct Bar<S> {
    now: Mutex<(Option<S>, ProgressBar)>,
}

impl<S: Copy + PartialEq> Bar<S> {
    /// In a form of `indicatif`; hidden where nobody watches.
    pub(super) fn new(call: &Call, form: &str) -> Self {
        let bar = if call.screen.watched() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template(form);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { now: Mutex::new((None, bar)) }
    }

    /// So much is done of a stage, and what that is called.
    pub(super) fn show(&self, stage: S, name: &str, done: u64, total: u64) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0 != Some(stage) {
            now.0 = Some(stage);
            now.1.set_message(name.to_owned());
        }
        now.1.set_length(total.max(done));
        now.1.set_position(done);
    }

    /// Takes it off the screen.
    pub(super) fn clear(&self) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).1.finish_and_clear();
    }
}

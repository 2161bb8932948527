//! Where words go: data on standard output, talk on standard error.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use super::failure::Failure;
use super::texts::{Lang, Text};

/// How this call of `pli` speaks.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Data as JSON.
    pub json: bool,
    /// Language of what people read.
    pub lang: Lang,
}

impl Screen {
    /// One JSON object on a line of standard output.
    ///
    /// # Errors
    /// The value has no JSON form, or standard output cannot be written.
    pub fn object<T: Serialize + ?Sized>(self, value: &T) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// One line of data on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written; [`Failure::Unheard`] when its reader has gone.
    pub fn line(self, text: impl Display) -> anyhow::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Raw bytes on standard output.
    ///
    /// # Errors
    /// As [`Screen::line`].
    pub fn bytes(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Err(Failure::Unheard.into()),
            other => Ok(other?),
        }
    }

    /// Talk. It is lost when nobody can hear it, which is no fault.
    pub fn say(self, text: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Talk from the table of texts.
    pub fn tell(self, text: Text, values: &[&dyn Display]) {
        self.say(text.fill(self.lang, values));
    }

    /// Whether somebody watches standard error, so that progress bars make sense.
    #[must_use]
    pub fn watched(self) -> bool {
        std::io::stderr().is_terminal()
    }
}

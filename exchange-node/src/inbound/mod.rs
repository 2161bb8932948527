//! Frames from the backbone become facts. Nothing is believed before its seal verifies against
//! the directory.
//!
//! - [`check`]: one frame, on any core: decode, open seals, compare with the directory;
//! - [`dispatch`], [`evidence`], [`status`]: the three kinds of sealed objects;
//! - [`recollection`]: what neighbours tell a node that was restored;
//! - [`trace`]: where a frame stands in the trace of its message;
//! - [`mod@line`]: the order of a conversation, while one of its dispatches waits;
//! - [`kept`]: frames that were set aside, looked at again;
//! - [`assembly`]: content that travels in parts;
//! - [`own_clock`]: whether it is we who are wrong about the time;
//! - [`consumer`]: the loops per lane. A frame is acknowledged after its facts are durable, or
//!   after its bytes were set aside with a reason.

pub mod assembly;
pub mod check;
pub mod consumer;
pub mod dispatch;
pub mod evidence;
pub mod kept;
pub mod line;
pub mod own_clock;
pub mod recollection;
pub mod status;
mod trace;

use schemas::problem::Code;

/// Why a frame is set aside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Unbelieved {
    /// Stable code.
    pub code: Code,
    /// In words, for operators.
    pub detail: String,
}

impl Unbelieved {
    /// A reason.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

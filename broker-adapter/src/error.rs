//! Why a backbone does not do what it is asked, and whose fault that is.

use crate::Destination;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The configuration of this node.
    Configuration,
    /// The broker, or the network before it; time may mend it.
    Broker,
    /// The caller in this process.
    Caller,
}

/// A refusal or a failure. The texts hold no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackboneError {
    /// The URL cannot be understood.
    #[error("the backbone's URL: {0}")]
    Url(String),
    /// An option cannot be used.
    #[error("the backbone's configuration: {0}")]
    Configuration(String),
    /// This build has no such adapter.
    #[error("this build has no adapter for {0} (cargo feature)")]
    NotBuilt(String),
    /// The broker does not answer.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// The broker answers, and says no (login, permission, limits).
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// The lane was never provisioned, or is gone.
    #[error("the backbone has no lane {}.{}", .0.node, .0.lane)]
    UnknownLane(Destination),
    /// [`crate::Backbone::close`] was called.
    #[error("the backbone is closed")]
    Closed,
    /// The file of the embedded backbone.
    #[error("the backbone's file: {0}")]
    File(String),
}

impl BackboneError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Url(_) | Self::Configuration(_) | Self::NotBuilt(_) | Self::Refused(_) => {
                Fault::Configuration
            }
            Self::Unreachable(_) | Self::File(_) => Fault::Broker,
            Self::UnknownLane(_) | Self::Closed => Fault::Caller,
        }
    }
}

impl From<sqlx::Error> for BackboneError {
    fn from(error: sqlx::Error) -> Self {
        Self::File(error.to_string())
    }
}

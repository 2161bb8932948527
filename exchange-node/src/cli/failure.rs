//! How a verb ends when it does not end well, and the exit code that says so.

use std::process::ExitCode;

use schemas::problem::Problem;

use super::screen::Screen;
use super::texts::{self, Lang};

/// Endings with an exit code of their own. Any other error is a fault: 1.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line cannot be carried out as it stands: 2.
    #[error("{0}")]
    Usage(String),
    /// A rule refuses: 3; or, when the problem is a fault of the node, 1. The problem is printed.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// A proof is not valid: 4. What is wrong has been printed.
    #[error("not valid")]
    NotValid,
    /// Whoever read our output has gone away: nothing more to say.
    #[error("nobody reads the output")]
    Unheard,
}

impl Failure {
    /// A usage error as an [`anyhow::Error`].
    pub fn usage(text: impl Into<String>) -> anyhow::Error {
        Self::Usage(text.into()).into()
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Refused(problem) if problem.status >= 500 => 1,
            Self::Refused(_) => 3,
            Self::NotValid => 4,
            Self::Unheard => 0,
        }
    }
}

/// Tells people what went wrong and gives the exit code.
pub(super) fn conclude(error: &anyhow::Error, screen: Screen) -> ExitCode {
    let Some(failure) = error.downcast_ref::<Failure>() else {
        screen.say(texts::FAULT.fill(screen.lang, &[&format!("{error:#}")]));
        return ExitCode::from(1);
    };
    match failure {
        Failure::Refused(problem) => refused(problem, screen),
        Failure::Usage(text) => screen.say(texts::USAGE.fill(screen.lang, &[text])),
        Failure::NotValid | Failure::Unheard => {}
    }
    ExitCode::from(failure.code())
}

fn refused(problem: &Problem, screen: Screen) {
    if screen.json && screen.object(problem).is_ok() {
        return;
    }
    let (title, detail) = match screen.lang {
        Lang::Fr => (&problem.title_fr, &problem.detail_fr),
        Lang::En => (&problem.title, &problem.detail),
    };
    screen.say(texts::REFUSED.fill(screen.lang, &[title]));
    if !detail.is_empty() && detail != title {
        screen.say(format!("  {detail}"));
    }
    screen.say(format!("  {} ({})", problem.kind, problem.status));
    if let Some(evidence) = problem.evidence_id {
        screen.say(texts::REFUSAL_EVIDENCE.fill(screen.lang, &[&evidence]));
    }
}

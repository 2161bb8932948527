//! The command line: one binary, a verb for every act of an operator or a member.
//!
//! Exit codes: 0 done; 1 a fault (ours or a dependency's); 2 wrong usage; 3 refused by a rule (the
//! problem is printed); 4 a proof is not valid. Data goes to standard output, talk to standard
//! error; `--json` prints one object, or one per line for lists. No question is ever asked.
//!
//! - `texts.rs` says everything in English and French, `french.rs` the help; `screen.rs` and
//!   `failure.rs` are the two ways out.
//! - Each other file is a verb or a family of verbs, with its arguments above its code.

mod audit;
mod authority;
mod backup;
mod bar;
mod client;
mod config;
mod demo;
mod doctor;
mod evidence;
mod explain;
mod failure;
mod french;
mod fsck;
mod inbox;
mod init;
mod localnet;
mod messages;
mod node;
mod operate;
mod peers;
mod queue;
mod resume;
mod screen;
mod send;
mod shell;
mod texts;
mod trace;
mod tsa;
mod verdicts;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use failure::Failure;
pub use screen::Screen;
pub use texts::{Lang, Text, text};

/// Registered delivery between administrations: seals, routes and proves.
#[derive(Debug, Parser)]
#[command(name = "pli", version, propagate_version = false, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Print data as JSON, one object or one per line
    #[arg(long, global = true)]
    json: bool,
    /// Configuration file of the node
    #[arg(long, global = true, env = "PLI_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The central authority of a network: root, node certificates, lists
    #[command(subcommand)]
    Authority(authority::AuthorityVerb),
    /// Look at the configuration of a node
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// A whole network on one machine
    #[command(subcommand)]
    Localnet(localnet::LocalnetVerb),
    /// Run a node
    #[command(subcommand)]
    Node(node::NodeVerb),
    /// The built-in timestamp authority
    #[command(subcommand)]
    Tsa(tsa::TsaVerb),
    /// Send documents to one or more members
    Send(send::SendArgs),
    /// What the member receives
    #[command(subcommand)]
    Inbox(inbox::InboxVerb),
    /// What the member sent
    #[command(subcommand)]
    Messages(messages::MessagesVerb),
    /// Where a message is, who holds it, what proves it, what comes next
    Trace(messages::TraceArgs),
    /// What a code, an event, a state or an id means, and what to do
    Explain(explain::ExplainArgs),
    /// Evidence about a message
    #[command(subcommand)]
    Evidence(evidence::EvidenceVerb),
    /// Save the proof bundle of a message
    Proof(evidence::ProofArgs),
    /// Verify bundles, seals, records and tokens offline
    Verify(verify::VerifyArgs),
    /// What waits, what was given up, what was set aside
    #[command(subcommand)]
    Queue(queue::QueueVerb),
    /// Hold what goes to a node
    Hold(peers::HoldArgs),
    /// Send to a node again
    Release(peers::ReleaseArgs),
    /// Send to a node at most so fast
    Throttle(peers::ThrottleArgs),
    /// Who may use the interface of the node
    #[command(subcommand)]
    Clients(operate::ClientsVerb),
    /// The journal of operators' acts
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Backups of the node
    #[command(subcommand)]
    Backup(backup::BackupVerb),
    /// Recompute every state from the sealed evidence, and report differences
    Fsck(fsck::FsckArgs),
    /// Print the version
    Version,
    /// Print a completion script
    Completions(shell::CompletionsArgs),
    /// Write the manual pages into a directory
    Man(shell::ManArgs),
}

/// What a verb gets to work with.
#[derive(Clone, Debug)]
struct Call {
    screen: Screen,
    config: Option<PathBuf>,
}

impl Call {
    /// The configuration file that this call is about.
    fn config_file(&self) -> anyhow::Result<&PathBuf> {
        let lang = self.screen.lang;
        self.config.as_ref().ok_or_else(|| Failure::usage(texts::NO_CONFIG.of(lang)))
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let lang = Lang::from_environment();
    let parsed = command(lang).try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let screen = Screen { json: cli.common.json, lang };
    let call = Call { screen, config: cli.common.config };
    match carry_out(cli.verb, &call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failure::conclude(&e, screen),
    }
}

/// The whole command tree, with its help in the given language.
fn command(lang: Lang) -> clap::Command {
    match lang {
        Lang::En => Cli::command(),
        Lang::Fr => french::translate(Cli::command()),
    }
}

fn carry_out(verb: Verb, call: &Call) -> anyhow::Result<()> {
    match verb {
        Verb::Authority(verb) => authority::run(verb, call),
        Verb::Audit(verb) => audit::run(&verb, call),
        Verb::Backup(verb) => backup::run(verb, call),
        Verb::Config(verb) => config::run(&verb, call),
        Verb::Localnet(verb) => localnet::run(verb, call),
        Verb::Node(verb) => node::run(verb, call),
        Verb::Tsa(verb) => tsa::run(verb, call),
        Verb::Send(args) => send::run(args, call),
        Verb::Inbox(verb) => inbox::run(verb, call),
        Verb::Messages(verb) => messages::list(verb, call),
        Verb::Trace(args) => messages::trace(&args, call),
        Verb::Explain(args) => explain::run(&args, call),
        Verb::Evidence(verb) => evidence::run(verb, call),
        Verb::Proof(args) => evidence::proof(&args, call),
        Verb::Verify(args) => verify::run(&args, call),
        Verb::Queue(verb) => queue::run(verb, call),
        Verb::Hold(args) => peers::hold(&args, call),
        Verb::Release(args) => peers::release(&args, call),
        Verb::Throttle(args) => peers::throttle(&args, call),
        Verb::Clients(verb) => operate::clients(verb, call),
        Verb::Fsck(args) => fsck::run(&args, call),
        Verb::Version => shell::version(call),
        Verb::Completions(args) => shell::completions(&args, call),
        Verb::Man(args) => shell::man(&args, call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound_in_both_languages() {
        command(Lang::En).debug_assert();
        command(Lang::Fr).debug_assert();
    }
}

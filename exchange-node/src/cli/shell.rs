//! `pli version`, `pli completions SHELL`, `pli man DIR`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use super::{Call, command, texts};

/// `pli completions`
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// `pli man`
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Where to write `pli.1`, `pli-send.1`...
    dir: PathBuf,
}

pub(super) fn version(call: &Call) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if !call.screen.json {
        return call.screen.line(format!("pli {version}"));
    }
    let backbones: Vec<&str> = ["embedded"]
        .into_iter()
        .chain(cfg!(feature = "amqp").then_some("amqp"))
        .chain(cfg!(feature = "kafka").then_some("kafka"))
        .collect();
    call.screen.object(&json!({ "name": "pli", "version": version, "backbones": backbones }))
}

pub(super) fn completions(args: &CompletionsArgs, call: &Call) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(call.screen.lang), "pli", &mut script);
    call.screen.bytes(&script)
}

pub(super) fn man(args: &ManArgs, call: &Call) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| args.dir.display().to_string())?;
    clap_mangen::generate_to(command(call.screen.lang), &args.dir)
        .with_context(|| args.dir.display().to_string())?;
    call.screen.tell(texts::WRITTEN, &[&args.dir.display()]);
    Ok(())
}

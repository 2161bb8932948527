//! `pli verify`: the offline verdict, in words that a clerk of the court understands.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use schemas::time::Timestamp;
use signing::report::{Element, Kind, Report, Verdict};
use signing::trust::Anchors;
use signing::verify::{Options, verify};

use super::{Call, Failure, Text, text};
use crate::clock::{self, Clock as _};
use crate::files;

/// `pli verify`
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Bundles (.asice), seals (.p7m), records (.ers) and tokens with what they cover
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// PEM file of anchors of trust; may be repeated
    #[arg(long, value_name = "PEM")]
    trust: Vec<PathBuf>,
    /// Judge as of this moment (RFC 3339); now when absent
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Accept a container that another tool packed again, when all its elements are intact
    #[arg(long)]
    allow_repacked: bool,
}

const VALID: Text = text(
    "VALID: {0} elements checked as of {1}, all hold.",
    "VALIDE : {0} éléments vérifiés au {1}, tous tiennent.",
);
const INVALID: Text = text(
    "NOT VALID: {0}. The proof is contradicted; what is named was changed or does not belong.",
    "NON VALIDE : {0}. La preuve est contredite ; l'élément nommé a été modifié ou est étranger.",
);
const INDETERMINATE: Text = text(
    "NOT PROVED: {0}. Nothing contradicts the proof, but something needed to judge it is missing.",
    "NON ÉTABLI : {0}. Rien ne contredit la preuve, mais il manque de quoi en juger.",
);
const NO_TRUST: Text = text(
    "No anchor of trust was given (--trust PEM): nothing can be found valid.",
    "Aucune ancre de confiance n'est donnée (--trust PEM) : rien ne peut être jugé valide.",
);

pub(super) fn run(args: &VerifyArgs, call: &Call) -> anyhow::Result<()> {
    let mut trust = Anchors::none();
    for file in &args.trust {
        let anchors =
            Anchors::from_pem(&files::read(file)?).with_context(|| file.display().to_string())?;
        trust.extend(&anchors);
    }
    if args.trust.is_empty() {
        call.screen.tell(NO_TRUST, &[]);
    }
    let mut all = Vec::new();
    for file in &args.files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push((name, files::read(file)?));
    }
    let now = args.at.unwrap_or_else(|| clock::system().now());
    let options = Options { allow_repacked: args.allow_repacked, ..Options::default() };
    let report = verify(&all, &trust, now, &options);
    if call.screen.json {
        call.screen.object(&report)?;
    } else {
        print(&report, call)?;
    }
    if report.valid { Ok(()) } else { Err(Failure::NotValid.into()) }
}

fn print(report: &Report, call: &Call) -> anyhow::Result<()> {
    for element in &report.elements {
        call.screen.line(line(element))?;
    }
    let broken = report.broken.clone().unwrap_or_default();
    let sentence = match report.verdict {
        Verdict::Valid => {
            VALID.fill(call.screen.lang, &[&report.elements.len(), &report.checked_at])
        }
        Verdict::Invalid => INVALID.fill(call.screen.lang, &[&broken]),
        Verdict::Indeterminate => INDETERMINATE.fill(call.screen.lang, &[&broken]),
    };
    call.screen.line(sentence)
}

fn line(element: &Element) -> String {
    let mark = match element.verdict {
        Verdict::Valid => "ok ",
        Verdict::Indeterminate => "?? ",
        Verdict::Invalid => "!! ",
    };
    let kind = match element.kind {
        Kind::Seal => "seal",
        Kind::Timestamp => "timestamp",
        Kind::EvidenceRecord => "record",
        Kind::Document => "file",
        Kind::Chain => "chain",
        Kind::Sequence => "sequence",
    };
    let when = element.time.map(|t| format!(" [{t}]")).unwrap_or_default();
    format!("{mark} {kind:<9} {}{when}  {}", element.path, element.detail)
}

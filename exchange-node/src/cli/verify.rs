//! `pli verify`: the offline verdict, in words that a clerk of the court understands.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use schemas::time::Timestamp;
use signing::report::{Element, Kind, Report, Verdict};
use signing::trust::Anchors;
use signing::verify::{Options, verify};

use super::{Call, Failure, Lang, Text, text, verdicts};
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
    /// Say every element, also those that hold
    #[arg(long)]
    all: bool,
}

const VALID: Text = text(
    "VALID: {0} elements checked, as of {1}; all hold.",
    "VALIDE : {0} éléments vérifiés, au {1} ; tous tiennent.",
);
const INVALID: Text = text(
    "NOT VALID: {0}\nThe proof is contradicted: what is named here was changed, or does not belong.",
    "NON VALIDE : {0}\nLa preuve est contredite : ce qui est nommé ici a été modifié, ou est étranger.",
);
const INDETERMINATE: Text = text(
    "NOT PROVED: {0}\nNothing contradicts the proof, but something needed to judge it is missing.",
    "NON ÉTABLI : {0}\nRien ne contredit la preuve, mais il manque de quoi en juger.",
);
const NO_TRUST: Text = text(
    "No anchor of trust was given (--trust PEM): nothing can be found valid.",
    "Aucune ancre de confiance n'est donnée (--trust PEM) : rien ne peut être jugé valide.",
);
const SIGNERS: Text = text("Sealed by: {0}", "Scellé par : {0}");
const SPAN: Text = text("Times proved: from {0} to {1}", "Dates prouvées : du {0} au {1}");

pub(super) fn run(args: &VerifyArgs, call: &Call) -> anyhow::Result<()> {
    let unusable = |e: anyhow::Error| Failure::usage(format!("{e:#}"));
    let mut trust = Anchors::none();
    for file in &args.trust {
        let pem = files::read(file).map_err(unusable)?;
        let anchors = Anchors::from_pem(&pem).with_context(|| file.display().to_string());
        trust.extend(&anchors.map_err(unusable)?);
    }
    if args.trust.is_empty() {
        call.screen.tell(NO_TRUST, &[]);
    }
    let mut all = Vec::new();
    for file in &args.files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push((name, files::read(file).map_err(unusable)?));
    }
    let now = args.at.unwrap_or_else(|| clock::system().now());
    let options = Options { allow_repacked: args.allow_repacked, ..Options::default() };
    let report = verify(&all, &trust, now, &options);
    if call.screen.json {
        call.screen.object(&report)?;
    } else {
        print(&report, args.all, call)?;
    }
    if report.valid { Ok(()) } else { Err(Failure::NotValid.into()) }
}

fn print(report: &Report, all: bool, call: &Call) -> anyhow::Result<()> {
    let lang = call.screen.lang;
    for element in report.elements.iter().filter(|e| all || !plain(e)) {
        call.screen.line(line(element, lang))?;
    }
    if report.verdict == Verdict::Valid {
        summary(report, call)?;
    }
    let broken = report.broken.clone().unwrap_or_default();
    call.screen.line(match report.verdict {
        Verdict::Valid => VALID.fill(lang, &[&report.elements.len(), &report.checked_at]),
        Verdict::Invalid => INVALID.fill(lang, &[&broken]),
        Verdict::Indeterminate => INDETERMINATE.fill(lang, &[&broken]),
    })
}

/// What needs no word of its own: it holds, and nothing is to be said about it.
const fn plain(element: &Element) -> bool {
    matches!(element.verdict, Verdict::Valid) && element.delay_seconds.is_none()
}

/// Who sealed, when it is proved to have been there, how much of what was looked at.
fn summary(report: &Report, call: &Call) -> anyhow::Result<()> {
    let lang = call.screen.lang;
    let mut signers: Vec<&str> = Vec::new();
    let seals = report.elements.iter().filter(|e| e.kind == Kind::Seal);
    for signer in seals.filter_map(|e| e.signer.as_deref()) {
        if !signers.contains(&signer) {
            signers.push(signer);
        }
    }
    for signer in signers {
        call.screen.line(SIGNERS.fill(lang, &[&signer]))?;
    }
    let proofs =
        report.elements.iter().filter(|e| matches!(e.kind, Kind::EvidenceRecord | Kind::Timestamp));
    let times: Vec<Timestamp> = proofs.filter_map(|e| e.time).collect();
    if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
        call.screen.line(SPAN.fill(lang, &[first, last]))?;
    }
    Ok(())
}

fn line(element: &Element, lang: Lang) -> String {
    let mark = match element.verdict {
        Verdict::Valid => "ok",
        Verdict::Indeterminate => "??",
        Verdict::Invalid => "!!",
    };
    let kind = verdicts::kind(element.kind).of(lang);
    format!("{mark}  {kind}  {}\n      {}", element.path, verdicts::sentence(element, lang))
}

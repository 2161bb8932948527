//! `pli explain CODE|NAME`: what a problem, a reason, an event or a state means, and what to do.

use clap::Args;
use schemas::event::{Event, Reason};
use schemas::problem::Code;
use serde_json::json;

use super::{Call, Failure, Lang};
use crate::words;

/// `pli explain`
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Problem code, ETSI reason (RB09), event (ContentConsignment or D.1) or state (relaying)
    what: String,
}

pub(super) fn run(args: &ExplainArgs, call: &Call) -> anyhow::Result<()> {
    let what = args.what.trim();
    if let Some(code) = Code::parse(what) {
        return problem(code, call);
    }
    if let Some(reason) = Reason::parse(what) {
        return self::reason(reason, call);
    }
    let event = Event::parse(what).or_else(|| Event::ALL.into_iter().find(|e| e.clause() == what));
    if let Some(event) = event {
        let words = words::event(event);
        return say(call, event.name(), event.clause(), words.en, words.fr, &event.uri());
    }
    let words = words::state(what);
    if words != words::state("") {
        return say(call, what, "state", words.en, words.fr, "");
    }
    let unknown = "no such problem code, reason, event or state; codes are listed by \
                   schemas/problems.md, events and reasons are those of ETSI EN 319 522";
    Err(Failure::usage(format!("{what}: {unknown}")))
}

fn problem(code: Code, call: &Call) -> anyhow::Result<()> {
    let facts = code.facts();
    if call.screen.json {
        return call.screen.object(&json!({
            "code": facts.code, "status": facts.status, "fault": facts.fault,
            "retryable": facts.retryable, "reason": facts.reason, "title": facts.title,
            "title_fr": facts.title_fr, "remedy": facts.remedy, "remedy_fr": facts.remedy_fr,
        }));
    }
    let (title, remedy) = match call.screen.lang {
        Lang::En => (facts.title, facts.remedy),
        Lang::Fr => (facts.title_fr, facts.remedy_fr),
    };
    call.screen.line(format!("{} ({})", facts.code, facts.status))?;
    call.screen.line(format!("  {title}"))?;
    call.screen.line(format!("  {remedy}"))
}

fn reason(reason: Reason, call: &Call) -> anyhow::Result<()> {
    let codes: Vec<&str> = Code::ALL
        .into_iter()
        .map(Code::facts)
        .filter(|f| f.reason == Some(reason))
        .map(|f| f.code)
        .collect();
    if call.screen.json {
        return call.screen.object(&json!({
            "code": reason.code(), "name": reason.suffix(), "uri": reason.uri(), "problems": codes,
        }));
    }
    call.screen.line(format!("{}  {}", reason.code(), reason.suffix()))?;
    call.screen.line(format!("  {}", reason.uri()))?;
    if !codes.is_empty() {
        call.screen.line(format!("  {}", codes.join(", ")))?;
    }
    Ok(())
}

fn say(call: &Call, name: &str, code: &str, en: &str, fr: &str, uri: &str) -> anyhow::Result<()> {
    if call.screen.json {
        let answer = json!({ "name": name, "code": code, "en": en, "fr": fr, "uri": uri });
        return call.screen.object(&answer);
    }
    let words = if call.screen.lang == Lang::Fr { fr } else { en };
    call.screen.line(format!("{name} ({code}): {words}"))
}

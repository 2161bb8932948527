//! `pli explain CODE|ID`: what a problem, a reason, an event or a state means, and what to do; what
//! became of a message, and what an evidence says, in whole sentences.

use clap::Args;
use schemas::api::{MessageView, Step};
use schemas::event::{Event, Reason};
use schemas::evidence::Evidence;
use schemas::problem::Code;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::Member;
use super::trace::of;
use super::{Call, Failure, Lang, Text, text};
use crate::words::{self, Words};

/// `pli explain`
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Problem code, ETSI reason (RB09), event (ContentConsignment or D.1), state (relaying), or
    /// the id of a message or of an evidence
    what: String,
    #[command(flatten)]
    member: Member,
}

const UNKNOWN: Text = text(
    "{0}: no such problem code, reason, event, state or id; problem codes are listed in \
     schemas/problems.md, events and reasons are those of ETSI EN 319 522",
    "{0} : ni code de problème, ni motif, événement, état ou identifiant ; les codes sont dans \
     schemas/problems.md, les événements et motifs sont ceux d'ETSI EN 319 522",
);
const MESSAGE: Text = text(
    "On {0}, {1} submitted this message of process {2} to its node, with {3} document(s).",
    "Le {0}, {1} a déposé ce pli de la démarche {2} à son nœud, avec {3} document(s).",
);
const DELIVERY: Text =
    text("For {0}: {1}. Node {2} answers for it.", "Pour {0} : {1}. Le nœud {2} en répond.");
const STEP: Text = text(
    "  {0}: {1}, as node {2} certifies ({3}).",
    "  {0} : {1}, comme l'atteste le nœud {2} ({3}).",
);
const PROVED: Text = text(
    "Every step is sealed, and an independent time-stamp proves when: `pli proof {0} -o FILE`.",
    "Chaque étape est scellée, et un horodatage indépendant en prouve la date : \
     `pli proof {0} -o FICHIER`.",
);
const UNPROVED: Text = text(
    "{0} step(s) are sealed but wait for their time-stamp, which comes within seconds.",
    "{0} étape(s) sont scellées mais attendent leur horodatage, qui vient en quelques secondes.",
);
const EVIDENCE: Text = text(
    "This evidence was issued by {0} on {1} about message {2}: {3} ({4}).",
    "Cette preuve a été émise par {0} le {1} au sujet du pli {2} : {3} ({4}).",
);

pub(super) fn run(args: &ExplainArgs, call: &Call) -> anyhow::Result<()> {
    let what = args.what.trim();
    if let Ok(id) = what.parse::<Uuid>() {
        return super::node::runtime()?.block_on(by_id(id, args, call));
    }
    if let Some(code) = Code::parse(what) {
        return problem(code, call);
    }
    if let Some(reason) = Reason::parse(what) {
        return self::reason(reason, call);
    }
    let event = Event::parse(what).or_else(|| Event::ALL.into_iter().find(|e| e.clause() == what));
    if let Some(event) = event {
        return say(call, event.name(), event.clause(), words::event(event), &event.uri());
    }
    let words = words::state(what);
    if words != words::state("") {
        return say(call, what, "state", words, "");
    }
    Err(Failure::usage(UNKNOWN.fill(call.screen.lang, &[&what])))
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
    let words = crate::reasons::reason(reason);
    let codes: Vec<&str> = Code::ALL
        .into_iter()
        .map(Code::facts)
        .filter(|f| f.reason == Some(reason))
        .map(|f| f.code)
        .collect();
    if call.screen.json {
        return call.screen.object(&json!({
            "code": reason.code(), "name": reason.suffix(), "uri": reason.uri(),
            "en": words.en, "fr": words.fr, "problems": codes,
        }));
    }
    let said = of(words, call.screen.lang);
    call.screen.line(format!("{} ({}): {said}", reason.code(), reason.suffix()))?;
    call.screen.line(format!("  {}", reason.uri()))?;
    if !codes.is_empty() {
        call.screen.line(format!("  {}", codes.join(", ")))?;
    }
    Ok(())
}

fn say(call: &Call, name: &str, code: &str, words: Words, uri: &str) -> anyhow::Result<()> {
    if call.screen.json {
        let answer =
            json!({ "name": name, "code": code, "en": words.en, "fr": words.fr, "uri": uri });
        return call.screen.object(&answer);
    }
    call.screen.line(format!("{name} ({code}): {}", of(words, call.screen.lang)))
}

/// A message of this member, else an evidence that it may see.
async fn by_id(id: Uuid, args: &ExplainArgs, call: &Call) -> anyhow::Result<()> {
    let client = args.member.connect().await?;
    match client.get::<MessageView>(&format!("/v1/messages/{id}")).await {
        Ok(found) => message(&found, call),
        Err(error) if is_not_found(&error) => {
            let bytes = client.bytes(&format!("/v1/evidence/{id}"), "application/json").await?;
            evidence(&serde_json::from_slice(&bytes)?, call)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn is_not_found(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Failure>();
    matches!(refused, Some(Failure::Refused(problem)) if problem.code == Code::NotFound)
}

fn message(message: &MessageView, call: &Call) -> anyhow::Result<()> {
    if call.screen.json {
        return call.screen.object(message);
    }
    let (lang, screen) = (call.screen.lang, call.screen);
    let sender = message.sender.name.as_deref().unwrap_or(&message.sender.party.id);
    let count = message.documents.len();
    screen.line(MESSAGE.fill(lang, &[&message.submitted_at, &sender, &message.process, &count]))?;
    for delivery in &message.deliveries {
        let name = delivery.recipient.name.as_deref().unwrap_or(&delivery.recipient.party.id);
        let state = of(words::state(&delivery.state), lang);
        screen.line(DELIVERY.fill(lang, &[&name, &state, &delivery.custodian]))?;
        if let Some(hindrance) = &delivery.hindrance {
            screen.line(super::peers::waits(hindrance, lang))?;
        }
        for step in &delivery.evidence {
            screen.line(sentence(step, lang))?;
        }
    }
    let steps = message.deliveries.iter().flat_map(|d| &d.evidence);
    match steps.filter(|s| s.anchored.is_none()).count() {
        0 => screen.line(PROVED.fill(lang, &[&message.message_id])),
        waiting => screen.line(UNPROVED.fill(lang, &[&waiting])),
    }
}

fn sentence(step: &Step, lang: Lang) -> String {
    let event = Event::parse(&step.event);
    let what = of(event.map_or_else(|| words::state(""), words::event), lang).to_lowercase();
    let why = Reason::parse(&step.code).map(crate::reasons::reason).map_or("", |r| of(r, lang));
    STEP.fill(lang, &[&step.at, &what, &step.node, &why])
}

fn evidence(json: &Value, call: &Call) -> anyhow::Result<()> {
    if call.screen.json {
        return call.screen.object(json);
    }
    let lang = call.screen.lang;
    let evidence: Evidence = serde_json::from_value(json.clone())?;
    let what = of(evidence.event().map_or_else(|| words::state(""), words::event), lang);
    let why = evidence.reason().map(crate::reasons::reason).map_or("", |r| of(r, lang));
    let issuer = evidence.issuer().map_or_else(String::new, |node| node.to_string());
    let (at, about) = (evidence.event_time, evidence.message_identifier);
    call.screen.line(EVIDENCE.fill(lang, &[&issuer, &at, &about, &what.to_lowercase(), &why]))
}

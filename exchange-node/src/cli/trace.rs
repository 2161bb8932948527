//! How `pli trace` reads on a terminal of 80 columns.

use schemas::api::{DeliveryView, MessageView, Step};
use schemas::event::Event;
use serde_json::json;

use super::{Call, Lang, Text, text};
use crate::words::{self, Words};

const HOLDER: Text = text("  held by {0}, since {1}", "  détenu par {0}, depuis le {1}");
const NEXT: Text = text("  next: something is due by {0}", "  ensuite : échéance au {0}");
const END: Text = text("  nothing more is due", "  plus rien n'est attendu");
const PENDING: Text = text("sealed, not yet anchored", "scellée, pas encore horodatée");
const ANCHORED: Text = text("anchored {0}", "horodatée {0}");

fn of(words: Words, lang: Lang) -> &'static str {
    match lang {
        Lang::En => words.en,
        Lang::Fr => words.fr,
    }
}

/// Where a message is, who holds it, what proves it, what comes next.
pub(super) fn print(message: &MessageView, call: &Call) -> anyhow::Result<()> {
    if call.screen.json {
        return call.screen.object(&shape(message));
    }
    let lang = call.screen.lang;
    let screen = call.screen;
    screen.line(format!("{}  {}", message.message_id, message.process))?;
    if let Some(subject) = &message.subject {
        screen.line(format!("  {subject}"))?;
    }
    for delivery in &message.deliveries {
        let name = delivery.recipient.name.as_deref().unwrap_or(&delivery.recipient.party.id);
        let state = of(words::state(&delivery.state), lang);
        screen.line(format!("\n{name} ({})", delivery.recipient.party.id))?;
        screen.line(format!("  {}: {state}", delivery.state))?;
        screen.line(HOLDER.fill(lang, &[&delivery.custodian, &delivery.since]))?;
        for one in &delivery.evidence {
            screen.line(step(one, lang))?;
        }
        screen.line(match delivery.next_due {
            Some(due) => NEXT.fill(lang, &[&due]),
            None => END.of(lang).to_owned(),
        })?;
    }
    Ok(())
}

/// One evidence, on two lines of at most 80 columns.
pub(super) fn step(step: &Step, lang: Lang) -> String {
    let words = Event::parse(&step.event).map_or_else(|| words::state(""), words::event);
    let anchored = match step.anchored {
        Some(at) => ANCHORED.fill(lang, &[&at]),
        None => PENDING.of(lang).to_owned(),
    };
    format!(
        "  {}  {} ({} {})\n      {} @ {}, {anchored}",
        step.at,
        of(words, lang),
        event_code(&step.event),
        step.code,
        step.evidence_id,
        step.node,
    )
}

fn event_code(name: &str) -> &'static str {
    Event::parse(name).map_or("", Event::clause)
}

/// The published JSON form.
fn shape(message: &MessageView) -> serde_json::Value {
    let delivery = |d: &DeliveryView| {
        json!({
            "recipient": d.recipient,
            "state": d.state,
            "custodian": d.custodian,
            "next_due": d.next_due,
            "steps": d.evidence,
        })
    };
    let deliveries: Vec<_> = message.deliveries.iter().map(delivery).collect();
    json!({ "message_id": message.message_id, "deliveries": deliveries })
}

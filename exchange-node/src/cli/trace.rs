//! How `pli trace` reads on a terminal of 80 columns.

use schemas::api::{DeliveryView, MessageView, Step};
use schemas::event::{Event, Reason};
use schemas::time::{SECOND, Timestamp};
use serde_json::json;

use super::{Call, Lang, Text, text};
use crate::dates;
use crate::words::{self, Words};

const STATE: Text = text("  {0} since {1}", "  {0} depuis le {1}");
const HOLDER: Text = text("  held by node {0}", "  détenu par le nœud {0}");
const DUE: Text = text("  next: {0},\n        by {1}", "  ensuite : {0},\n        avant le {1}");
const END: Text = text("  next: nothing more is due", "  ensuite : plus rien n'est attendu");
const PENDING: Text = text("sealed, not yet anchored", "scellée, pas encore datée");
const ANCHORED: Text = text("anchored {0}", "datée {0}");
const DELAYED: Text = text(
    "      delayed: anchored {0} after the event",
    "      différée : datée {0} après l'événement",
);
const ANSWERS: Text =
    text("      supersedes, as a fact: {0}", "      prime, comme fait établi, sur : {0}");
const EVIDENCE: Text = text("    evidence {0}  {1}", "    preuve {0}  {1}");

/// Words in the language of this call.
pub(super) const fn of(words: Words, lang: Lang) -> &'static str {
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
    for line in lines(message, call.screen.lang) {
        call.screen.line(line)?;
    }
    Ok(())
}

fn lines(message: &MessageView, lang: Lang) -> Vec<String> {
    let mut out = vec![format!("{}  {}", message.message_id, message.process)];
    out.extend(message.subject.as_ref().map(|s| shortened(s, 80)));
    for delivery in &message.deliveries {
        let id = &delivery.recipient.party.id;
        let name = delivery.recipient.name.as_deref().unwrap_or_default();
        out.push(String::new());
        out.push(format!("{} {id}", shortened(name, 79 - id.len())));
        let state = format!("{} ({})", of(words::state(&delivery.state), lang), delivery.state);
        let line = STATE.fill(lang, &[&state, &seconds(delivery.since)]);
        out.push(if line.chars().count() <= 80 {
            line
        } else {
            // The word says it; the code is for those who search the documentation.
            STATE.fill(lang, &[&of(words::state(&delivery.state), lang), &seconds(delivery.since)])
        });
        out.push(HOLDER.fill(lang, &[&delivery.custodian]));
        out.extend(delivery.evidence.iter().map(|one| step(one, lang)));
        out.push(match delivery.next_due {
            Some(due) => DUE.fill(lang, &[&next(&delivery.state).of(lang), &seconds(due)]),
            None => END.of(lang).to_owned(),
        });
    }
    out
}

/// One evidence, on three lines of at most 80 columns; one more when its reason is long, and one
/// when its anchor was delayed.
pub(super) fn step(step: &Step, lang: Lang) -> String {
    let event = Event::parse(&step.event);
    let clause = event.map_or("", Event::clause);
    let what = of(event.map_or_else(|| words::state(""), words::event), lang);
    let anchored = match step.anchored {
        Some(at) => ANCHORED.fill(lang, &[&seconds(at)]),
        None => PENDING.of(lang).to_owned(),
    };
    let first = format!("  {}  {clause} {}  {}", step.at, step.code, step.node);
    let mut proof = EVIDENCE.fill(lang, &[&step.evidence_id, &anchored]);
    if let Some(seconds) = step.delay_seconds {
        let lasted = dates::span(seconds.saturating_mul(SECOND));
        proof = format!("{proof}\n{}", DELAYED.fill(lang, &[&lasted]));
    }
    for silence in &step.supersedes {
        proof = format!("{proof}\n{}", ANSWERS.fill(lang, &[silence]));
    }
    match Reason::parse(&step.code).map(crate::reasons::reason).map(|r| of(r, lang)) {
        // The reason of a success says the event once more.
        Some(why) if !step.code.ends_with("01") => {
            let line = format!("    {what}: {why}");
            let fits = line.chars().count() <= 80;
            let said = if fits { line } else { format!("    {what}:\n      {why}") };
            format!("{first}\n{said}\n{proof}")
        }
        _ => format!("{first}\n    {what}\n{proof}"),
    }
}

/// What must happen to a delivery in this state.
fn next(state: &str) -> Text {
    match state {
        "accepted" => text("it is sent to the next node", "il est envoyé au nœud suivant"),
        "relaying" => text(
            "the next node confirms that it took over",
            "le nœud suivant confirme sa prise en charge",
        ),
        "relayed" | "unconfirmed" => text(
            "the recipient's node makes it available",
            "le nœud du destinataire le met à disposition",
        ),
        "relay_rejected" => text("the failure is established", "l'échec est constaté"),
        "awaiting_acceptance" => {
            text("the recipient accepts or refuses", "le destinataire accepte ou refuse")
        }
        "consigned" => text("the recipient collects it", "le destinataire le retire"),
        "held" => {
            text("the examination of its documents ends", "l'examen de ses documents s'achève")
        }
        _ => text("something happens", "un événement est attendu"),
    }
}

fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(whole, _)| format!("{whole}Z"))
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(state: &str, event: Event, reason: Reason, due: bool) -> MessageView {
        let at = "2026-11-24T08:15:30.123Z";
        serde_json::from_value(json!({
            "message_id": "0190a0a0-0000-7000-8000-000000000000",
            "conversation_id": "0190a0a0-0000-7000-8000-000000000000", "process": "AEC",
            "sender": { "scheme": "iso6523:0009", "id": "12345678200010" },
            "subject": "é".repeat(200), "submitted_at": at, "documents": [],
            "deliveries": [{
                "delivery_id": "0190a0a0-0000-7000-8000-000000000001",
                "recipient": { "scheme": "iso6523:0009", "id": "21993417100014",
                    "name": "Commune ".repeat(20) },
                "state": state, "custodian": "cd-34", "since": at,
                "next_due": due.then_some(at),
                "evidence": [{
                    "evidence_id": "0190a0a0-0000-5000-8000-000000000002", "event": event.name(),
                    "code": reason.code(), "at": at, "node": "cd-34", "sealed": at, "anchored": at,
                    "delay_seconds": 8_640_000,
                    "supersedes": ["0190a0a0-0000-5000-8000-000000000003"],
                }],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn no_line_is_longer_than_a_terminal() {
        let states = [
            "accepted",
            "relaying",
            "relayed",
            "unconfirmed",
            "awaiting_acceptance",
            "consigned",
            "handed_over",
            "held",
            "relay_rejected",
        ];
        for lang in [Lang::En, Lang::Fr] {
            for state in states {
                for event in Event::ALL {
                    for reason in Reason::ALL {
                        let all = lines(&message(state, event, reason, true), lang).join("\n");
                        for line in all.lines() {
                            assert!(line.chars().count() <= 80, "{line}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_comes_next_is_said() {
        let open = message("consigned", Event::ContentConsignment, Reason::Rd01, true);
        let text = lines(&open, Lang::En).join("\n");
        assert!(text.contains("next: the recipient collects it,\n        by 2026-11-24T08:15:30Z"));
        let done = message("handed_over", Event::ContentHandover, Reason::Re01, false);
        assert!(lines(&done, Lang::Fr).join("\n").contains("plus rien n'est attendu"));
    }

    #[test]
    fn the_json_is_the_published_one() {
        let it = shape(&message("consigned", Event::ContentConsignment, Reason::Rd01, false));
        let delivery = &it["deliveries"][0];
        assert_eq!(delivery["custodian"], "cd-34");
        assert_eq!(delivery["steps"][0]["event"], "ContentConsignment");
        assert_eq!(delivery["steps"][0]["anchored"], "2026-11-24T08:15:30.123Z");
        assert!(delivery["next_due"].is_null());
    }
}

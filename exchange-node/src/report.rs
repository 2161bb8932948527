//! The report of a bundle: what a judge or a mayor reads. The whole in French, then in English; one
//! template says both. It explains the evidence and proves nothing: everything that it says stands in
//! the sealed files, which it names.

use askama::Template;
use schemas::ids::{MessageId, NodeId};

use crate::dates::Moment;
use crate::words::Words;

/// A party in words.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name, or its number when the directory has none.
    pub name: String,
    /// Its numbers in words.
    pub id: String,
}

/// A document line.
#[derive(Clone, Debug)]
pub struct DocumentLine {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size in bytes, in groups of three digits.
    pub size: String,
    /// Digest in hexadecimal.
    pub sha256: String,
    /// Names of those whom alone it is for; empty when it is for all.
    pub only_for: String,
}

/// When a sealed object is proved to have existed.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Not yet: it is sealed, and waits for its time-stamp.
    Pending,
    /// Soon after the event.
    At(Moment),
    /// Late after the event, by this long.
    Late(Moment, String),
}

/// A step line.
#[derive(Clone, Debug)]
pub struct StepLine {
    /// Time of the event.
    pub at: Moment,
    /// The event in few words.
    pub words: Words,
    /// What it means.
    pub sentence: Words,
    /// ETSI name.
    pub event: &'static str,
    /// The reason in words.
    pub reason: Option<Words>,
    /// Reason code.
    pub code: &'static str,
    /// What the issuer said beside.
    pub remarks: Vec<String>,
    /// Files of attested silences that this evidence answers.
    pub supersedes: Vec<String>,
    /// Node.
    pub node: NodeId,
    /// When it is proved to have existed.
    pub proof: Proof,
    /// Where it lies in the bundle.
    pub file: String,
}

/// A sealed object that is no evidence: the dispatch, a status.
#[derive(Clone, Debug)]
pub struct OtherLine {
    /// When it was made.
    pub at: Moment,
    /// What it says.
    pub words: Words,
    /// What its author said beside.
    pub remark: Option<String>,
    /// Node.
    pub node: NodeId,
    /// Where it lies in the bundle.
    pub file: String,
}

/// What became of the content for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The recipient has it, or can have it.
    Delivered,
    /// It does not get there any more.
    Failed,
    /// Neither yet.
    Open,
}

impl Outcome {
    /// By the name of a state in `lifecycle.md`.
    #[must_use]
    pub fn of(state: &str) -> Self {
        match state {
            "consigned" | "handed_over" => Self::Delivered,
            "rejected" | "relay_failed" | "refused" | "expired" | "consign_failed"
            | "handover_failed" | "cancelled" => Self::Failed,
            _ => Self::Open,
        }
    }

    /// The class of the style sheet.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Open => "open",
        }
    }
}

/// One recipient.
#[derive(Clone, Debug)]
pub struct DeliveryPart {
    /// Who.
    pub recipient: Named,
    /// Where it stands.
    pub state: Words,
    /// What that amounts to.
    pub outcome: Outcome,
    /// Since when.
    pub since: Moment,
    /// Steps.
    pub steps: Vec<StepLine>,
}

/// A language of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tongue {
    /// As in HTML.
    pub code: &'static str,
    french: bool,
}

/// French first.
pub const TONGUES: [Tongue; 2] =
    [Tongue { code: "fr", french: true }, Tongue { code: "en", french: false }];

impl Tongue {
    /// The one of the two that is in this language.
    #[must_use]
    pub const fn say<'a>(&self, fr: &'a str, en: &'a str) -> &'a str {
        if self.french { fr } else { en }
    }

    /// Words in this language.
    #[must_use]
    pub const fn of(&self, words: &Words) -> &'static str {
        if self.french { words.fr } else { words.en }
    }

    /// An instant in this language, legal time of Paris.
    #[must_use]
    pub fn when<'a>(&self, moment: &'a Moment) -> &'a str {
        if self.french { &moment.fr } else { &moment.en }
    }
}

/// The report.
#[derive(Debug, Template)]
#[template(path = "report.html")]
pub struct Report {
    /// French, then English.
    pub tongues: [Tongue; 2],
    /// The message.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender: Named,
    /// Démarche, in French and in English.
    pub process: [String; 2],
    /// Subject.
    pub subject: Option<String>,
    /// The sender's number.
    pub sender_ref: Option<String>,
    /// When.
    pub submitted_at: Moment,
    /// Documents.
    pub documents: Vec<DocumentLine>,
    /// How many documents are for other recipients alone.
    pub hidden: usize,
    /// Recipients.
    pub deliveries: Vec<DeliveryPart>,
    /// Other sealed objects.
    pub others: Vec<OtherLine>,
    /// The node that made the bundle.
    pub node: NodeId,
    /// When.
    pub made_at: Moment,
}

/// A number in groups of three digits, which a line does not break.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1), "1");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(20_971_520), "20\u{202f}971\u{202f}520");
    }

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), id: "SIRET 219 934 171 00014".to_owned() }
    }

    fn moment(text: &str) -> Moment {
        Moment::from(text.parse::<schemas::time::Timestamp>().unwrap())
    }

    fn step(
        event: schemas::event::Event,
        reason: schemas::event::Reason,
        proof: Proof,
    ) -> StepLine {
        StepLine {
            at: moment("2026-11-27T08:35:30Z"),
            words: words::event(event),
            sentence: crate::sentences::event(event),
            event: event.name(),
            reason: Some(crate::reasons::reason(reason)),
            code: reason.code(),
            remarks: vec!["pas de notre <b>ressort</b>".to_owned()],
            supersedes: vec!["evidence/000.p7m".to_owned()],
            node: "cd-34".parse().unwrap(),
            proof,
            file: "evidence/001.p7m".to_owned(),
        }
    }

    fn report(proof: Proof) -> String {
        use schemas::event::{Event, Reason};
        let steps = vec![step(Event::ConsignmentRejection, Reason::Rc08, proof)];
        Report {
            tongues: TONGUES,
            message_id: "0190a0a0-0000-7000-8000-000000000000".parse().unwrap(),
            sender: named("Service central"),
            process: ["Actes (AEC)".to_owned(), "Records (AEC)".to_owned()],
            subject: Some("Acte <script>".to_owned()),
            sender_ref: None,
            submitted_at: moment("2026-11-27T08:35:30Z"),
            documents: vec![],
            hidden: 0,
            deliveries: vec![DeliveryPart {
                recipient: named("Commune de Montpellier"),
                state: words::state("refused"),
                outcome: Outcome::of("refused"),
                since: moment("2026-11-27T08:35:30Z"),
                steps,
            }],
            others: vec![],
            node: "etat".parse().unwrap(),
            made_at: moment("2026-11-27T09:00:00Z"),
        }
        .render()
        .unwrap()
        .replace("&#39;", "'")
    }

    #[test]
    fn events_and_reasons_are_said_in_both_languages_with_both_times() {
        let html = report(Proof::At(moment("2026-11-27T08:35:31Z")));
        for said in [
            "<html lang=\"fr\">",
            "<article lang=\"en\"",
            "Le destinataire a refusé le pli",
            "The recipient refused the message",
            "refusé par le destinataire",
            "refused by the recipient",
            "RC08",
            "27 novembre 2026 à 09:35:30",
            "27 November 2026, 09:35:30",
            "27/11/2026 08:35:30 UTC",
            "class=\"outcome failed\"",
        ] {
            assert!(html.contains(said), "{said} is missing: {html}");
        }
        let (french, english) = html.split_once("<article lang=\"en\"").unwrap();
        assert!(!french.contains("The recipient") && !english.contains("Le destinataire"));
    }

    #[test]
    fn what_answers_a_silence_says_which() {
        let html = report(Proof::Pending);
        assert!(html.contains("répond au constat d'absence de nouvelles"), "{html}");
        assert!(html.contains("answers the attested silence"), "{html}");
        assert_eq!(html.matches("evidence/000.p7m").count(), 2, "{html}");
    }

    #[test]
    fn what_people_wrote_is_text_and_not_markup() {
        let html = report(Proof::Pending);
        assert!(!html.contains("<b>ressort") && !html.contains("<script"), "{html}");
        assert!(html.contains("ressort") && html.contains("Acte &#"), "{html}");
    }

    #[test]
    fn a_proof_that_waits_or_came_late_says_so() {
        let html = report(Proof::Pending);
        assert!(html.contains("en attente") && html.contains("pending"), "{html}");
        let late = Proof::Late(moment("2026-11-27T10:35:31Z"), "2 h 0 min".to_owned());
        let html = report(late);
        assert!(html.contains("2 h 0 min après l'étape"), "{html}");
        assert!(html.contains("2 h 0 min after the step"), "{html}");
    }
}

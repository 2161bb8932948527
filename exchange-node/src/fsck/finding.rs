//! Everything that can be found, with its stable code and its sentences.

use std::fmt::Display;

use serde::Serialize;

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word.
    pub code: &'static str,
    /// The message, delivery, object, anchor, row or content that it is about.
    pub what: String,
    /// In English.
    pub detail: String,
    /// In French.
    pub detail_fr: String,
}

/// One thing that must hold. The sentences have gaps, `{}`, filled in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) code: &'static str,
    en: &'static str,
    fr: &'static str,
}

impl Rule {
    pub(super) fn finding(self, what: &dyn Display, values: &[&dyn Display]) -> Finding {
        Finding {
            code: self.code,
            what: what.to_string(),
            detail: fill(self.en, values),
            detail_fr: fill(self.fr, values),
        }
    }
}

fn fill(text: &str, values: &[&dyn Display]) -> String {
    let mut parts = text.split("{}");
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        out.push_str(&values.next().map(ToString::to_string).unwrap_or_default());
        out.push_str(part);
    }
    out
}

macro_rules! rules {
    ($($name:ident = $code:literal, $en:literal, $fr:literal;)*) => {
        $(pub(super) const $name: Rule = Rule { code: $code, en: $en, fr: $fr };)*

        /// Every code with its sentences, English first.
        pub const ALL: &[(&str, &str, &str)] = &[$(($code, $en, $fr)),*];
    };
}

rules! {
    // Sealed objects.
    SEAL = "seal",
        "the sealed object {} is not valid: {}",
        "l'objet scellé {} n'est pas valide : {}";
    IDENTIFIER = "identifier",
        "{} is stored as {}",
        "{} est rangé sous {}";
    OBJECT = "object-column",
        "the column {} of {} says {}, its seal {}",
        "la colonne {} de {} dit {}, son cachet {}";
    OBJECT_STRAY = "object-stray",
        "a sealed object belongs to no message or delivery of this node",
        "un objet scellé n'appartient à aucun pli ni à aucune remise de ce nœud";
    // Messages.
    ENVELOPE = "message-column",
        "the column {} says {}, the envelope {}",
        "la colonne {} dit {}, l'enveloppe {}";
    ENVELOPE_BROKEN = "envelope",
        "the envelope cannot be read: {}",
        "l'enveloppe est illisible : {}";
    UNPROVEN = "message-unproven",
        "no evidence says how the message came here: {} deliveries, SubmissionAcceptance {}, SubmissionRejection {}",
        "aucune preuve ne dit d'où vient le pli : {} remises, SubmissionAcceptance {}, SubmissionRejection {}";
    DIGESTS = "content-digests",
        "{} is about other documents than the envelope",
        "{} porte sur d'autres documents que l'enveloppe";
    // Deliveries.
    STATE = "state",
        "the state cannot be read: {}",
        "l'état est illisible : {}";
    COLUMN = "delivery-column",
        "the column {} says {}, the state {}",
        "la colonne {} dit {}, l'état {}";
    DELIVERY_STRAY = "delivery-stray",
        "the delivery belongs to no message",
        "la remise n'appartient à aucun pli";
    MISSING = "evidence-missing",
        "{} is listed and is not there",
        "{} est citée et manque";
    UNLISTED = "evidence-unlisted",
        "{} is there and is not listed",
        "{} est là et n'est pas citée";
    HELD = "evidence-listed",
        "the {} of {} is listed as {}, its seal says {}",
        "la donnée {} de {} est notée {}, son cachet dit {}";
    DIGEST = "digest",
        "{} has another digest than its file",
        "{} a une autre empreinte que son fichier";
    LINK = "link",
        "{} of {} cites {}, which is not the evidence before it",
        "{} de {} cite {}, qui n'est pas la preuve précédente";
    PHASE = "phase",
        "the state is {}, the evidence says {}",
        "l'état est {}, les preuves disent {}";
    CUSTODIAN = "custodian",
        "the custodian is {}, the evidence says {}",
        "le dépositaire est {}, les preuves disent {}";
    SINCE = "since",
        "the state is of {}, the evidence says {}",
        "l'état date du {}, les preuves disent {}";
    BUSINESS = "business-status",
        "the business status is {}, the sealed ones say {}",
        "l'état métier est {}, ceux qui sont scellés disent {}";
    NO_DUE = "no-due-time",
        "{}, and nothing will ever be due",
        "{}, et rien ne viendra jamais à échéance";
    DUE_AT_END = "due-after-end",
        "{}, and something is still due",
        "{}, et une échéance court encore";
    // Inboxes.
    INBOX_MISSING = "inbox-missing",
        "{} for {}, whose inbox does not have it",
        "{} pour {}, et absente de sa boîte";
    INBOX_STRAY = "inbox-stray",
        "in the inbox of {}, and not waiting for it",
        "dans la boîte de {}, sans l'attendre";
    INBOX = "inbox-column",
        "the inbox says {}, the delivery {}",
        "la boîte dit {}, la remise {}";
    // Keys and content.
    KEY_MISSING = "key-missing",
        "the key of document {} is not there",
        "la clé du document {} manque";
    KEY_STRAY = "key-stray",
        "there is a key of document {}, and there must not be one",
        "il y a une clé du document {}, et il ne doit pas y en avoir";
    KEY = "key-column",
        "the key of document {} leads to {}, the envelope to {}",
        "la clé du document {} mène à {}, l'enveloppe à {}";
    KEY_BROKEN = "key-broken",
        "the key of document {} does not open with the key of this node",
        "la clé du document {} ne s'ouvre pas avec la clé de ce nœud";
    ERASURE = "erasure",
        "{}: its content must be erased, and is not",
        "{} : son contenu doit être effacé, et ne l'est pas";
    CONTENT_MISSING = "content-missing",
        "a key leads to this content, and it is not there",
        "une clé mène à ce contenu, et il manque";
    CONTENT_CHANGED = "content-changed",
        "the content is not what rows say: {}",
        "le contenu n'est pas ce que disent les lignes : {}";
    // Event feeds.
    EVENT_MISSING = "event-missing",
        "the feed of {} does not tell of it",
        "le fil de {} n'en dit rien";
    EVENT_STRAY = "event-stray",
        "the feed of {} tells of evidence that is not there: {}",
        "le fil de {} parle d'une preuve qui n'est pas là : {}";
    EVENT_LINK = "event-link",
        "the feed of {} says that it supersedes {}, and the evidence does not",
        "le fil de {} dit qu'elle prime sur {}, et les preuves ne le disent pas";
    // Anchors.
    LEAVES = "anchor-leaves",
        "its leaves are not the digests of the objects up to position {}",
        "ses feuilles ne sont pas les empreintes des objets jusqu'à la position {}";
    ROOT = "anchor-root",
        "the root of its tree is {}, the row says {}",
        "la racine de son arbre est {}, la ligne dit {}";
    TOKEN = "anchor-token",
        "its time-stamp is not valid: {}",
        "son horodatage n'est pas valide : {}";
    ANCHOR_TIME = "anchor-time",
        "its time is {}, its time-stamp says {}",
        "son heure est {}, son horodatage dit {}";
    // Queue.
    QUEUE_STRAY = "queue-stray",
        "it refers to {}, which is not there",
        "elle renvoie à {}, qui n'est pas là";
    QUEUE_BROKEN = "queue-payload",
        "what is to be sent cannot be read",
        "ce qui est à envoyer est illisible";
    QUEUE_HEAD = "queue-head",
        "{} rows of its order may be claimed, and exactly one must be",
        "{} lignes de son ordre peuvent être prises, et il en faut exactement une";
    ROW_STRAY = "row-stray",
        "a row of kind {} belongs to no delivery",
        "une ligne de type {} n'appartient à aucune remise";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_both_sentences_have_the_same_gaps() {
        let codes: BTreeSet<&str> = ALL.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes.len(), ALL.len());
        for (code, en, fr) in ALL {
            assert_eq!(en.matches("{}").count(), fr.matches("{}").count(), "{code}");
        }
        let finding = PHASE.finding(&"d", &[&"a", &"b"]);
        assert_eq!(finding.detail, "the state is a, the evidence says b");
        assert_eq!(finding.detail_fr, "l'état est a, les preuves disent b");
    }
}

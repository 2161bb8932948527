//! Everything that the command line says to people, in English and in French.
//!
//! A text has numbered gaps, `{0}`, `{1}`; [`Text::fill`] puts values into them. Identifiers and
//! codes are never translated. The words are those of the project's vocabulary: a *pli*, a
//! *preuve*, a *nœud*, a *démarche*.

use std::fmt::Display;

/// Language of what people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// French.
    Fr,
}

impl Lang {
    /// `PLI_LANG`, else the locale of the environment, else English.
    #[must_use]
    pub fn from_environment() -> Self {
        let names = ["PLI_LANG", "LC_ALL", "LC_MESSAGES", "LANG"];
        let said = names.iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()));
        if said.is_some_and(|v| v.to_lowercase().starts_with("fr")) { Self::Fr } else { Self::En }
    }
}

/// One text in both languages.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    en: &'static str,
    fr: &'static str,
}

/// A text: English first.
#[must_use]
pub const fn text(en: &'static str, fr: &'static str) -> Text {
    Text { en, fr }
}

impl Text {
    /// The text as it stands.
    #[must_use]
    pub const fn of(self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.en,
            Lang::Fr => self.fr,
        }
    }

    /// The text with its gaps filled.
    #[must_use]
    pub fn fill(self, lang: Lang, values: &[&dyn Display]) -> String {
        let mut out = String::new();
        let mut rest = self.of(lang);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((gap, tail)) = after.split_once('}') else { break };
            let value = gap.parse::<usize>().ok().and_then(|i| values.get(i));
            out.push_str(&value.map_or_else(String::new, ToString::to_string));
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

pub(crate) const FAULT: Text = text("pli: {0}", "pli : {0}");
pub(crate) const USAGE: Text = text("pli: wrong usage: {0}", "pli : usage incorrect : {0}");
pub(crate) const REFUSED: Text = text("Refused: {0}", "Refusé : {0}");
pub(crate) const REFUSAL_EVIDENCE: Text =
    text("  sealed evidence of the refusal: {0}", "  preuve scellée du refus : {0}");
pub(crate) const NO_CONFIG: Text = text(
    "say which node: --config FILE, or PLI_CONFIG",
    "indiquez le nœud : --config FICHIER, ou PLI_CONFIG",
);
pub(crate) const CONFIG_SOUND: Text =
    text("{0}: node {1}, nothing to object to", "{0} : nœud {1}, rien à signaler");
pub(crate) const CONFIG_FAULTS: Text =
    text("{0}: {1} thing(s) to put right", "{0} : {1} point(s) à corriger");
pub(crate) const WRITTEN: Text = text("{0} written", "{0} écrit");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_in_any_order() {
        let t = text("{1} of {0}", "{0} : {1}{2}");
        assert_eq!(t.fill(Lang::En, &[&"b", &1]), "1 of b");
        assert_eq!(t.fill(Lang::Fr, &[&"b", &1]), "b : 1", "a gap without value is empty");
    }
}

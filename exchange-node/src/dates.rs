//! Dates as people read them: the legal time of Paris, with UTC beside it, and how long it took.

use std::ops::Range;

use exchange_core::working_days::ahead_of_utc;
use schemas::time::{DAY, HOUR, MINUTE, SECOND, Timestamp};

/// Months in French and in English.
const MONTHS: [(&str, &str); 12] = [
    ("janvier", "January"),
    ("février", "February"),
    ("mars", "March"),
    ("avril", "April"),
    ("mai", "May"),
    ("juin", "June"),
    ("juillet", "July"),
    ("août", "August"),
    ("septembre", "September"),
    ("octobre", "October"),
    ("novembre", "November"),
    ("décembre", "December"),
];

/// An instant for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant, for the `datetime` of HTML.
    pub at: Timestamp,
    /// `23 novembre 2026 à 09:35:30`, legal time of Paris.
    pub fr: String,
    /// `23 November 2026, 09:35:30`, legal time of Paris.
    pub en: String,
    /// `23/11/2026 08:35:30 UTC`.
    pub utc: String,
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        let (universal, paris) = (Parts::of(at), Parts::of(at.plus(ahead_of_utc(at))));
        let Parts { year, month, day, time } = &paris;
        let (fr, en) =
            month.checked_sub(1).and_then(|m| MONTHS.get(m)).copied().unwrap_or(("", ""));
        // The first of a month is "1er" in French
        let first = if *day == 1 { "er" } else { "" };
        let Parts { year: y, month: m, day: d, time: t } = &universal;
        Self {
            at,
            fr: format!("{day}{first} {fr} {year} à {time}"),
            en: format!("{day} {en} {year}, {time}"),
            utc: format!("{d:02}/{m:02}/{y} {t} UTC"),
        }
    }
}

/// An instant taken apart, in the time zone that it is shifted to.
struct Parts {
    year: String,
    month: usize,
    day: usize,
    time: String,
}

impl Parts {
    fn of(at: Timestamp) -> Self {
        let text = at.to_string();
        let part = |range: Range<usize>| text.get(range).unwrap_or_default();
        let number = |range| part(range).parse().unwrap_or_default();
        let (year, time) = (part(0..4).to_owned(), part(11..19).to_owned());
        Self { year, month: number(5..7), day: number(8..10), time }
    }
}

/// How long it took, in its two greatest units, which French and English write alike: `45 s`,
/// `2 min 5 s`, `3 h 20 min`, `50 h`. Nothing below a second, hours whole above two days.
#[must_use]
pub fn span(millis: i64) -> String {
    let (seconds, minutes, hours) = (millis / SECOND % 60, millis / MINUTE % 60, millis / HOUR);
    match millis {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{minutes} min {seconds} s"),
        _ if millis < 2 * DAY => format!("{hours} h {minutes} min"),
        _ => format!("{hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(utc: &str) -> Moment {
        Moment::from(utc.parse::<Timestamp>().unwrap())
    }

    #[test]
    fn winter_is_one_hour_and_summer_two_hours_ahead_of_utc() {
        let winter = moment("2026-11-23T08:35:30.120Z");
        assert_eq!(winter.fr, "23 novembre 2026 à 09:35:30");
        assert_eq!(winter.en, "23 November 2026, 09:35:30");
        assert_eq!(winter.utc, "23/11/2026 08:35:30 UTC");
        assert_eq!(moment("2026-08-23T08:35:30Z").fr, "23 août 2026 à 10:35:30");
    }

    /// As `TZ=Europe/Paris date` says.
    #[test]
    fn clocks_change_on_the_last_sundays_of_march_and_october_at_one_utc() {
        assert_eq!(moment("2026-03-29T00:59:59Z").fr, "29 mars 2026 à 01:59:59");
        assert_eq!(moment("2026-03-29T01:00:00Z").fr, "29 mars 2026 à 03:00:00");
        assert_eq!(moment("2026-10-25T00:59:59Z").fr, "25 octobre 2026 à 02:59:59");
        assert_eq!(moment("2026-10-25T01:00:00Z").fr, "25 octobre 2026 à 02:00:00");
    }

    #[test]
    fn the_day_may_be_another_in_paris() {
        let new_year = moment("2026-12-31T23:30:00Z");
        assert_eq!(new_year.fr, "1er janvier 2027 à 00:30:00");
        assert_eq!(new_year.en, "1 January 2027, 00:30:00");
        assert_eq!(new_year.utc, "31/12/2026 23:30:00 UTC");
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!(span(45_900), "45 s");
        assert_eq!(span(125 * SECOND), "2 min 5 s");
        assert_eq!(span(200 * MINUTE), "3 h 20 min");
        assert_eq!(span(50 * HOUR + MINUTE), "50 h");
    }
}

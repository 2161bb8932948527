//! From a span in a démarche's rules to the instant at which it has passed.

use schemas::catalogue::Span;
use schemas::time::{HOUR, Timestamp};

use crate::working_days::{Date, Territory};

/// The first instant after `span`, counted from `from`.
///
/// Hours elapse. Days and working days are counted from the day after `from` and end with the
/// last one in French legal time (CPCE R.53-3: fifteen days "à compter du lendemain"), so the
/// answer is the midnight that follows it. A span of no days ends with the day of `from`.
#[must_use]
pub fn after(from: Timestamp, span: Span, territory: Territory) -> Timestamp {
    match span {
        Span::Hours(hours) => from.plus(i64::from(hours).saturating_mul(HOUR)),
        Span::Days(days) => Date::at(from).plus(i64::from(days)).plus(1).begins(),
        Span::WorkingDays(days) => {
            let mut last = Date::at(from);
            for _ in 0..days.min(MAX_WORKING_DAYS) {
                last = next_working_day(last, territory);
            }
            last.plus(1).begins()
        }
    }
}

/// A century: the catalogue's own bound.
const MAX_WORKING_DAYS: u32 = 36_525;

fn next_working_day(day: Date, territory: Territory) -> Date {
    let mut next = day.plus(1);
    while !next.is_working_day(territory) {
        next = next.plus(1);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(from: &str, span: Span, territory: Territory) -> String {
        after(from.parse().unwrap(), span, territory).to_string()
    }

    #[test]
    fn hours_elapse_across_the_change_of_clocks() {
        let end = passes("2026-03-28T12:00:00Z", Span::Hours(24), Territory::Metropole);
        assert_eq!(end, "2026-03-29T12:00:00.000Z");
    }

    /// CPCE R.53-3: notice on 1 June, the 15 days run from 2 to 16 June.
    #[test]
    fn fifteen_days_from_the_day_after_the_notice() {
        let end = passes("2026-06-01T07:00:00Z", Span::Days(15), Territory::Metropole);
        assert_eq!(end, "2026-06-16T22:00:00.000Z");
        // 23:30 in Paris is still the same day; half an hour later it is the next one.
        let late = passes("2026-06-01T21:30:00Z", Span::Days(15), Territory::Metropole);
        assert_eq!(late, "2026-06-16T22:00:00.000Z");
        let next = passes("2026-06-01T22:00:00Z", Span::Days(15), Territory::Metropole);
        assert_eq!(next, "2026-06-17T22:00:00.000Z");
        // Across the end of summer time.
        let autumn = passes("2026-10-20T07:00:00Z", Span::Days(15), Territory::Metropole);
        assert_eq!(autumn, "2026-11-04T23:00:00.000Z");
    }

    /// May 2026: 1 and 8 May are Fridays, Ascension is Thursday 14, Whit Monday is 25.
    #[test]
    fn working_days_skip_weekends_and_holidays() {
        let of = |from, n, territory| passes(from, Span::WorkingDays(n), territory);
        let metropole = Territory::Metropole;
        assert_eq!(of("2026-04-30T08:00:00Z", 1, metropole), "2026-05-04T22:00:00.000Z");
        assert_eq!(of("2026-05-07T08:00:00Z", 1, metropole), "2026-05-11T22:00:00.000Z");
        assert_eq!(of("2026-05-13T08:00:00Z", 10, metropole), "2026-05-29T22:00:00.000Z");
        // 27 May is a holiday in Guadeloupe alone.
        let guadeloupe = Territory::Guadeloupe;
        assert_eq!(of("2026-05-13T08:00:00Z", 10, guadeloupe), "2026-06-01T22:00:00.000Z");
        // Christmas 2026 is a Friday; 26 December falls on a Saturday.
        assert_eq!(of("2025-12-24T08:00:00Z", 1, metropole), "2025-12-26T23:00:00.000Z");
        let alsace = Territory::AlsaceMoselle;
        assert_eq!(of("2025-12-24T08:00:00Z", 1, alsace), "2025-12-29T23:00:00.000Z");
    }

    #[test]
    fn no_span_is_too_long_to_be_counted() {
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for span in [Span::Hours(u32::MAX), Span::Days(u32::MAX), Span::WorkingDays(u32::MAX)] {
            assert!(after(from, span, Territory::Metropole) > from);
        }
    }
}

//! French dates: legal time, public holidays, working days (*jours ouvrés*).
//!
//! Everything is computed by rule, without a table that ends some day: summer time runs from the
//! last Sunday of March to the last Sunday of October at 01:00 UTC (directive 2000/84/EC), Easter
//! by the Gregorian computus, public holidays by article L3133-1 of the Code du travail, those of
//! Alsace-Moselle by article L3134-13, those overseas by article L3422-2.
//!
//! Legal time is that of Paris for every territory: both ends of an exchange count alike. The
//! collectivities of the Pacific set holidays of their own, which are not known here: they count
//! as [`Territory::Metropole`].

use schemas::ids::Cog;
use schemas::time::{DAY, HOUR, Timestamp};

/// Where a holiday is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Territory {
    /// The eleven national holidays alone.
    #[default]
    Metropole,
    /// Moselle, Bas-Rhin and Haut-Rhin: Good Friday and 26 December too.
    AlsaceMoselle,
    /// 27 May.
    Guadeloupe,
    /// 22 May.
    Martinique,
    /// 10 June.
    Guyane,
    /// 20 December.
    Reunion,
    /// 27 April.
    Mayotte,
    /// 9 October.
    SaintBarthelemy,
    /// 28 May.
    SaintMartin,
}

impl Territory {
    /// The territory of a commune.
    #[must_use]
    pub fn of(cog: &Cog) -> Self {
        match crate::route::department(cog) {
            "57" | "67" | "68" => Self::AlsaceMoselle,
            "971" => Self::Guadeloupe,
            "972" => Self::Martinique,
            "973" => Self::Guyane,
            "974" => Self::Reunion,
            "976" => Self::Mayotte,
            "977" => Self::SaintBarthelemy,
            "978" => Self::SaintMartin,
            _ => Self::Metropole,
        }
    }

    /// Month and day of its own holiday: the abolition of slavery (article L3422-2).
    const fn own(self) -> Option<(u8, u8)> {
        match self {
            Self::Metropole => None,
            Self::AlsaceMoselle => Some((12, 26)),
            Self::Guadeloupe => Some((5, 27)),
            Self::Martinique => Some((5, 22)),
            Self::Guyane => Some((6, 10)),
            Self::Reunion => Some((12, 20)),
            Self::Mayotte => Some((4, 27)),
            Self::SaintBarthelemy => Some((10, 9)),
            Self::SaintMartin => Some((5, 28)),
        }
    }
}

/// A day of the calendar: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

/// Fixed holidays of article L3133-1, month and day.
const FIXED: [(u8, u8); 8] =
    [(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)];
/// Days from Easter Sunday to Easter Monday, Ascension and Whit Monday.
const MOVABLE: [i64; 3] = [1, 39, 50];
/// Days from Easter Sunday to Good Friday.
const GOOD_FRIDAY: i64 = -2;

impl Date {
    /// From year, month (1 to 12) and day (1 to 31) of the Gregorian calendar.
    #[must_use]
    pub const fn new(year: i64, month: u8, day: u8) -> Self {
        // Days from the civil date: years that begin in March, in eras of 400 years.
        let (m, d) = (month as i64, day as i64);
        let y = if m <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    /// Year, month and day.
    #[must_use]
    pub const fn civil(self) -> (i64, u8, u8) {
        let z = self.0 + 719_468;
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + z.div_euclid(146_097) * 400 + (month <= 2) as i64;
        // Both lie within 1 to 31.
        (year, month as u8, day as u8)
    }

    /// The day on which an instant falls in French legal time.
    #[must_use]
    pub const fn at(instant: Timestamp) -> Self {
        Self(instant.plus(ahead_of_utc(instant)).millis().div_euclid(DAY))
    }

    /// The instant at which this day begins in French legal time.
    #[must_use]
    pub const fn begins(self) -> Timestamp {
        // Clocks change at 01:00 UTC, after midnight in Paris: one hour before midnight UTC the
        // offset of this midnight is in force already, and on the day of a change still.
        let midnight = Timestamp::from_millis(self.0.saturating_mul(DAY));
        midnight.plus(-ahead_of_utc(midnight.plus(-HOUR)))
    }

    /// This day moved by `days`.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// 1 on Mondays to 7 on Sundays (ISO 8601).
    #[must_use]
    pub const fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        (self.0 + 3).rem_euclid(7) as u8 + 1
    }

    /// Whether it is a public holiday there.
    #[must_use]
    pub fn is_holiday(self, territory: Territory) -> bool {
        let (year, month, day) = self.civil();
        let from_easter = self.0 - easter(year).0;
        FIXED.contains(&(month, day))
            || MOVABLE.contains(&from_easter)
            || territory.own() == Some((month, day))
            || (territory == Territory::AlsaceMoselle && from_easter == GOOD_FRIDAY)
    }

    /// Whether people work: Monday to Friday, no holiday.
    #[must_use]
    pub fn is_working_day(self, territory: Territory) -> bool {
        self.weekday() <= 5 && !self.is_holiday(territory)
    }
}

/// Easter Sunday (Gregorian computus, Meeus/Jones/Butcher).
#[must_use]
pub const fn easter(year: i64) -> Date {
    let golden = year.rem_euclid(19);
    let (century, rest) = (year.div_euclid(100), year.rem_euclid(100));
    let moon = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - century / 4 - moon + 15).rem_euclid(30);
    let sunday = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4).rem_euclid(7);
    let correction = (golden + 11 * epact + 22 * sunday) / 451;
    let sum = epact + sunday - 7 * correction + 114;
    // Month 3 or 4, day 1 to 31.
    Date::new(year, (sum / 31) as u8, (sum % 31 + 1) as u8)
}

/// What legal time, that of Paris, is ahead of UTC, in milliseconds.
#[must_use]
pub const fn ahead_of_utc(instant: Timestamp) -> i64 {
    let (year, _, _) = Date(instant.millis().div_euclid(DAY)).civil();
    let summer = last_sunday(year, 3).0 * DAY + HOUR;
    let winter = last_sunday(year, 10).0 * DAY + HOUR;
    if summer <= instant.millis() && instant.millis() < winter { 2 * HOUR } else { HOUR }
}

/// Last Sunday of a month with 31 days.
const fn last_sunday(year: i64, month: u8) -> Date {
    let last = Date::new(year, month, 31);
    last.plus(-((last.weekday() % 7) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
        Date::new(part(0..4), part(5..7) as u8, part(8..10) as u8)
    }

    /// Easter Monday, Ascension and Whit Monday as the Python package `holidays` 0.109 gives them.
    const MOVABLE_DATES: [[&str; 3]; 7] = [
        ["2024-04-01", "2024-05-09", "2024-05-20"],
        ["2025-04-21", "2025-05-29", "2025-06-09"],
        ["2026-04-06", "2026-05-14", "2026-05-25"],
        ["2027-03-29", "2027-05-06", "2027-05-17"],
        ["2028-04-17", "2028-05-25", "2028-06-05"],
        ["2029-04-02", "2029-05-10", "2029-05-21"],
        ["2030-04-22", "2030-05-30", "2030-06-10"],
    ];

    /// Good Friday, from the same package.
    const GOOD_FRIDAYS: [&str; 7] = [
        "2024-03-29",
        "2025-04-18",
        "2026-04-03",
        "2027-03-26",
        "2028-04-14",
        "2029-03-30",
        "2030-04-19",
    ];

    #[test]
    fn the_civil_calendar_is_read_back_over_four_centuries() {
        let mut expected = Date::new(1800, 1, 1);
        while expected < Date::new(2200, 1, 1) {
            let (y, m, d) = expected.civil();
            assert_eq!(Date::new(y, m, d), expected);
            expected = expected.plus(1);
        }
        assert_eq!(Date::new(1970, 1, 1), Date(0));
        assert_eq!(Date::new(2026, 11, 23).weekday(), 1);
        assert_eq!(Date::new(2024, 2, 29).civil(), (2024, 2, 29));
    }

    #[test]
    fn every_holiday_of_2024_to_2030_and_no_other() {
        let mut expected: Vec<Date> = MOVABLE_DATES.as_flattened().iter().map(|d| day(d)).collect();
        for year in 2024..=2030 {
            for md in ["01-01", "05-01", "05-08", "07-14", "08-15", "11-01", "11-11", "12-25"] {
                expected.push(day(&format!("{year}-{md}")));
            }
        }
        expected.sort();
        assert_eq!(holidays(Territory::Metropole), expected);
        for (territory, own) in [
            (Territory::Guadeloupe, "05-27"),
            (Territory::Martinique, "05-22"),
            (Territory::Guyane, "06-10"),
            (Territory::Reunion, "12-20"),
            (Territory::Mayotte, "04-27"),
            (Territory::SaintBarthelemy, "10-09"),
            (Territory::SaintMartin, "05-28"),
        ] {
            let mut more = expected.clone();
            more.extend((2024..=2030).map(|y| day(&format!("{y}-{own}"))));
            more.sort();
            more.dedup();
            assert_eq!(holidays(territory), more, "{territory:?}");
        }
        let mut alsace = expected;
        alsace.extend(GOOD_FRIDAYS.iter().map(|d| day(d)));
        alsace.extend((2024..=2030).map(|y| Date::new(y, 12, 26)));
        alsace.sort();
        assert_eq!(holidays(Territory::AlsaceMoselle), alsace);
    }

    fn holidays(territory: Territory) -> Vec<Date> {
        (0..2557)
            .map(|i| Date::new(2024, 1, 1).plus(i))
            .filter(|d| d.is_holiday(territory))
            .collect()
    }

    #[test]
    fn legal_time_changes_on_the_last_sundays_of_march_and_october() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (utc, hours) in [
            ("2024-03-31T00:59:59.999Z", 1),
            ("2024-03-31T01:00:00Z", 2),
            ("2024-10-27T00:59:59.999Z", 2),
            ("2024-10-27T01:00:00Z", 1),
            ("2026-03-29T01:00:00Z", 2),
            ("2026-10-25T00:59:59Z", 2),
            ("2029-03-25T00:59:59Z", 1),
            ("2030-10-27T01:00:00Z", 1),
        ] {
            assert_eq!(ahead_of_utc(at(utc)), hours * HOUR, "{utc}");
        }
    }

    #[test]
    fn days_begin_at_midnight_in_paris() {
        for (date, utc) in [
            ("2026-01-01", "2025-12-31T23:00:00.000Z"),
            ("2026-03-29", "2026-03-28T23:00:00.000Z"),
            ("2026-03-30", "2026-03-29T22:00:00.000Z"),
            ("2026-10-25", "2026-10-24T22:00:00.000Z"),
            ("2026-10-26", "2026-10-25T23:00:00.000Z"),
        ] {
            assert_eq!(day(date).begins().to_string(), utc);
            assert_eq!(Date::at(day(date).begins()), day(date));
            assert_eq!(Date::at(day(date).begins().plus(-1)), day(date).plus(-1));
        }
    }

    #[test]
    fn territories_by_cog() {
        for (cog, territory) in [
            ("34172", Territory::Metropole),
            ("67482", Territory::AlsaceMoselle),
            ("2A004", Territory::Metropole),
            ("97105", Territory::Guadeloupe),
            ("97411", Territory::Reunion),
            ("98735", Territory::Metropole),
        ] {
            assert_eq!(Territory::of(&cog.parse().unwrap()), territory, "{cog}");
        }
    }
}

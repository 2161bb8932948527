//! Content that does not come for a week, is given up, is looked for again at an operator's word, and
//! comes after days.
//!
//! ```text
//!   etat ---- national ---- cd-34
//!                ^-- keeps the content lane back
//! ```

use std::sync::{Arc, LazyLock};

use broker_adapter::Lane;
use exchange_core::state::Phase;
use exchange_store::rows::{DeliveryQuery, QueueQuery, QueueRow};
use schemas::envelope::Consignment;
use schemas::party::Party;
use schemas::time::{DAY, HOUR};

use crate::dice::Dice;
use crate::ground::{GROUND, T0, at_once};
use crate::operators;
use crate::people::Letter;
use crate::schedule::{Schedule, Trouble};
use crate::simulated;
use crate::site::Site;

/// In which something happens ([`Schedule::pass`]): more than a week of looks takes.
const SECONDS: u32 = 30_000;
/// Above it a document goes on the lane of contents.
const LARGE: usize = 400_000;

fn queue(site: &Site) -> Vec<QueueRow> {
    at_once(site.store.queue(&QueueQuery { to: None, after: 0, limit: 9 })).unwrap()
}

fn phases(site: &Site) -> Vec<Phase> {
    let query = DeliveryQuery { limit: 9, ..DeliveryQuery::default() };
    at_once(site.store.deliveries(&query)).unwrap().iter().map(|r| r.delivery.phase).collect()
}

fn letter(to: &Site) -> Letter {
    Letter {
        number: 1,
        from: 0,
        recipients: vec![Party::siret(&to.plan.member[0].siret)],
        text: format!("<?xml version=\"1.0\"?><a>{}</a>", " ".repeat(LARGE)).into_bytes(),
        consignment: Consignment::Basic,
        resumable: false,
        wait: 100,
    }
}

#[test]
fn what_is_redriven_after_a_week_waits_for_its_content_for_another() {
    LazyLock::force(&GROUND);
    let home = GROUND.home();
    simulated().block_on(async {
        let mut schedule = Schedule::of(1, home.path(), Dice::of(1, "late"), Trouble::none());
        let town = Arc::clone(&schedule.sites[1]);
        schedule.letters = vec![letter(&town)];
        schedule.wires[0].keep_back(Lane::Content);
        schedule.begin();
        schedule.pass(T0.plus(6 * DAY), SECONDS, None).await;
        let waits = queue(&town);
        assert_eq!(waits[0].error.as_deref(), Some("waiting for content"), "{waits:?}");
        schedule.pass(T0.plus(8 * DAY), SECONDS, None).await;
        let dead = queue(&town);
        assert_eq!(dead[0].error.as_deref(), Some("the content never came"), "{dead:?}");
        assert_eq!(dead[0].state.as_str(), "dead");

        operators::redrive_dead(&town);
        schedule.pass(T0.plus(11 * DAY), SECONDS, None).await;
        let again = queue(&town);
        assert_eq!(again[0].state.as_str(), "waiting", "{again:?}");
        assert_eq!(phases(&town), [], "nobody has decided anything");
        assert!(schedule.wires[0].give_back() > 0);
        schedule.pass(T0.plus(11 * DAY + HOUR), 600, None).await;
        assert_eq!(queue(&town).len(), 0, "{:?}", queue(&town));
        let told = schedule.book.open();
        let texts: Vec<_> = told.read.values().collect();
        assert_eq!(texts, [&schedule.letters[0].text], "{:?}", phases(&town));
        drop(told);
        for site in &schedule.sites {
            at_once(site.store.close());
        }
    });
}

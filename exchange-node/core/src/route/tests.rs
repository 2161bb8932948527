//! Scope, versions, expiry, successors, ways, search, and a country of 34,875 communes.

use schemas::directory::{MemberEntry, MembersList, NodeEntry, RootList, Scope, Standing};
use schemas::ids::{Cog, NodeId};
use schemas::party::Party;
use schemas::sample;
use schemas::time::DAY;

use super::*;
use crate::fixture::{T0, entry, node, party};

fn root(nodes: Vec<NodeEntry>) -> RootList {
    RootList { version: 1, sequence: 1, issued_at: T0, expires_at: T0.plus(30 * DAY), nodes }
}

fn list(id: &str, members: Vec<MemberEntry>) -> MembersList {
    MembersList { node: node(id), members, ..sample::members_list() }
}

fn member(siret: &str, name: &str, cog: Option<&str>) -> MemberEntry {
    MemberEntry {
        party: party(siret),
        name: name.to_owned(),
        cog: cog.map(|c| c.parse().unwrap()),
        ..sample::members_list().members.remove(0)
    }
}

fn scoped(id: &str, departments: &[&str], sirens: &[&str]) -> NodeEntry {
    NodeEntry {
        scope: Scope {
            departments: departments.iter().map(|&d| d.to_owned()).collect(),
            sirens: sirens.iter().map(|s| s.parse().unwrap()).collect(),
            any: false,
        },
        ..entry(id, &["national"], None)
    }
}

/// A SIRET that passes Luhn, from a number.
fn siret(n: u32) -> String {
    let body = format!("2{n:012}");
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| match (u32::from(b - b'0'), i % 2) {
            (d, 0) if d > 4 => 2 * d - 9,
            (d, 0) => 2 * d,
            (d, _) => d,
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

#[test]
fn a_node_lists_members_within_its_scope_alone() {
    let nodes = vec![scoped("cd-34", &["34", "2A", "971"], &["123456782"])];
    let members = vec![
        member(&siret(1), "Montpellier", Some("34172")),
        member(&siret(2), "Ajaccio", Some("2A004")),
        member(&siret(3), "Les Abymes", Some("97101")),
        member(&siret(4), "Nîmes", Some("30189")),
        member(&siret(5), "Sans commune", None),
        member("12345678200010", "Département", None),
    ];
    let directory = Directory::new(Some(root(nodes)), vec![list("cd-34", members)]);
    let rejected: Vec<_> =
        directory.rejected().iter().map(|r| (r.party.clone().unwrap().id, r.why)).collect();
    assert_eq!(rejected, [(siret(4), Why::OutOfScope), (siret(5), Why::OutOfScope)]);
    assert_eq!(directory.len(), 4);
    assert!(directory.member(&party(&siret(4))).is_none());
    let found = directory.commune(&"2A004".parse().unwrap()).unwrap();
    assert_eq!((found.entry.name.as_str(), found.node.as_str()), ("Ajaccio", "cd-34"));
}

#[test]
fn a_department_cannot_take_over_a_member_that_the_authority_gave_to_another_node() {
    let nodes = vec![
        scoped("cd-34", &["34"], &[]),
        scoped("ville", &[], &["210000014"]),
        entry("etat", &["national"], None),
    ];
    let town = "21000001400006".to_owned();
    let stolen = vec![
        member(&town, "Usurpée", Some("34001")),
        member("11999900100017", "Usurpée", Some("34002")),
    ];
    let directory = Directory::new(
        Some(root(nodes)),
        vec![
            list("cd-34", stolen),
            list("ville", vec![member(&town, "Ville", None)]),
            list("etat", vec![member("11999900100017", "État", None)]),
        ],
    );
    for (siret, owner) in [(town.as_str(), "ville"), ("11999900100017", "etat")] {
        assert_eq!(directory.member(&party(siret)).unwrap().node.as_str(), owner);
    }
    let whys: Vec<_> = directory.rejected().iter().map(|r| r.why).collect();
    assert_eq!(whys, [Why::Elsewhere, Why::Elsewhere]);
}

#[test]
fn of_two_claims_the_one_in_service_counts_so_that_a_member_moves_without_a_gap() {
    let nodes = vec![scoped("cd-34", &["34"], &[]), scoped("cd-30", &["34"], &[])];
    let mut old = member(&siret(1), "Commune", Some("34172"));
    old.standing = Standing::Suspended;
    let new = member(&siret(1), "Commune", Some("34172"));
    let lists = vec![list("cd-34", vec![old]), list("cd-30", vec![new])];
    let directory = Directory::new(Some(root(nodes)), lists);
    assert_eq!(directory.member(&party(&siret(1))).unwrap().node.as_str(), "cd-30");
    assert_eq!(directory.commune(&"34172".parse().unwrap()).unwrap().node.as_str(), "cd-30");
}

#[test]
fn versions_never_go_back() {
    let nodes = vec![scoped("cd-34", &["34"], &[])];
    let newer = MembersList { sequence: 9, ..list("cd-34", vec![]) };
    let older = list("cd-34", vec![member(&siret(1), "Commune", Some("34172"))]);
    let directory = Directory::new(Some(root(nodes)), vec![older.clone(), newer.clone()]);
    assert!(directory.is_empty());
    assert_eq!(directory.rejected()[0].why, Why::Superseded);
    assert!(!directory.accepts_members(&older));
    assert!(!directory.accepts_members(&newer));
    assert!(directory.accepts_members(&MembersList { sequence: 10, ..older.clone() }));
    assert!(!directory.accepts_members(&MembersList { node: node("cd-30"), ..older.clone() }));
    let same = directory.root().unwrap().clone();
    assert!(!directory.accepts(&same));
    assert!(directory.accepts(&RootList { sequence: 2, ..same.clone() }));

    let renewed = directory.renewed(Some(same.clone()), vec![older.clone()]);
    assert!(renewed.is_empty(), "an older list changes nothing");
    let renewed = directory.renewed(None, vec![MembersList { sequence: 10, ..older }]);
    assert_eq!(renewed.len(), 1);
}

#[test]
fn nobody_is_listed_without_a_delegation() {
    let lists = vec![list("cd-34", vec![member(&siret(1), "Commune", Some("34172"))])];
    let directory = Directory::new(None, lists.clone());
    assert!(directory.is_empty());
    assert_eq!(directory.rejected()[0].why, Why::UnknownNode);
    assert_eq!(directory.freshness(T0), Freshness::Expired);
    let directory = Directory::new(Some(root(vec![scoped("cd-30", &["30"], &[])])), lists);
    assert!(directory.is_empty());
}

#[test]
fn a_list_serves_seven_days_past_its_expiry() {
    let nodes = vec![scoped("cd-34", &["34"], &[])];
    let lists = vec![MembersList { expires_at: T0, ..list("cd-34", vec![]) }];
    let directory = Directory::new(Some(root(nodes)), lists);
    let of = |at| directory.freshness_of(&node("cd-34"), at);
    assert_eq!(of(T0.plus(-1)), Freshness::Fresh);
    assert_eq!(of(T0), Freshness::Grace);
    assert_eq!(of(T0.plus(7 * DAY - 1)), Freshness::Grace);
    assert_eq!(of(T0.plus(7 * DAY)), Freshness::Expired);
    assert_eq!(directory.freshness(T0.plus(37 * DAY)), Freshness::Expired);
    assert_eq!(directory.freshness_of(&node("cd-30"), T0), Freshness::Expired);
}

#[test]
fn a_closed_commune_is_followed_to_its_successor_and_a_circle_ends() {
    let nodes = vec![scoped("cd-34", &["34"], &[]), scoped("cd-30", &["30"], &[])];
    let mut closed = member(&siret(1), "Ancienne", Some("34001"));
    closed.standing = Standing::Closed;
    closed.successor = Some(party(&siret(2)));
    let heir = member(&siret(2), "Nouvelle", Some("30001"));
    let mut circle = member(&siret(3), "Cercle", Some("34003"));
    circle.standing = Standing::Closed;
    circle.successor = Some(party(&siret(3)));
    let lists = vec![list("cd-34", vec![closed, circle]), list("cd-30", vec![heir])];
    let directory = Directory::new(Some(root(nodes)), lists);
    let at_desk = Party { desk: Some("34001".into()), ..party(&siret(1)) };
    let found = directory.member(&at_desk).unwrap();
    assert_eq!((found.entry.name.as_str(), found.node.as_str()), ("Nouvelle", "cd-30"));
    assert_eq!(directory.listed(&at_desk).unwrap().entry.name, "Ancienne");
    assert_eq!(directory.commune(&"34001".parse().unwrap()).unwrap().entry.name, "Nouvelle");
    assert_eq!(directory.member(&party(&siret(3))).unwrap().entry.standing, Standing::Closed);
}

/// ```text
///   etat --national-- cd-34 --local-34-- ville-34
///                     cd-30 --local-30-- ville-30
///   old (no backbone known)
/// ```
#[test]
fn ways_through_departmental_nodes() {
    let nodes = vec![
        entry("etat", &["national"], None),
        entry("cd-34", &["national", "local-34"], None),
        entry("cd-30", &["national", "local-30"], None),
        entry("ville-34", &["local-34"], Some("cd-34")),
        entry("ville-30", &["local-30"], Some("cd-30")),
        entry("old", &[], None),
        NodeEntry { standing: Standing::Suspended, ..entry("off", &["national"], None) },
        entry("island", &["nowhere"], None),
    ];
    let directory = Directory::new(Some(root(nodes)), vec![]);
    let hop = |from, to| directory.next_hop(&node(from), &node(to)).map(|n: NodeId| n.to_string());
    for (from, to, expected) in [
        ("etat", "cd-34", Some("cd-34")),
        ("etat", "ville-34", Some("cd-34")),
        ("cd-34", "ville-34", Some("ville-34")),
        ("ville-34", "etat", Some("cd-34")),
        ("ville-34", "ville-30", Some("cd-34")),
        ("cd-34", "ville-30", Some("cd-30")),
        ("cd-30", "ville-30", Some("ville-30")),
        ("etat", "old", Some("old")),
        ("etat", "off", None),
        ("etat", "island", None),
        ("etat", "unknown", None),
        ("etat", "etat", None),
    ] {
        assert_eq!(hop(from, to).as_deref(), expected, "{from} -> {to}");
    }
    // Every way ends where it should, and in few steps.
    for (from, to) in [("ville-34", "ville-30"), ("ville-30", "cd-34"), ("etat", "ville-30")] {
        let mut at = node(from);
        for _ in 0..4 {
            if at != node(to) {
                at = directory.next_hop(&at, &node(to)).unwrap();
            }
        }
        assert_eq!(at, node(to), "{from} -> {to}");
    }
}

#[test]
fn search_by_words_commune_and_process_a_page_at_a_time() {
    let nodes = vec![scoped("cd-34", &["34"], &[])];
    let mut members: Vec<_> = [
        ("Saint-Étienne-d'Albagnan", "34250"),
        ("Béziers", "34032"),
        ("Mairie de Béziers, service Œuvres", "34033"),
        ("Agde", "34003"),
    ]
    .iter()
    .zip(1..)
    .map(|((name, cog), n)| member(&siret(n), name, Some(cog)))
    .collect();
    members[3].processes.clear();
    let directory = Directory::new(Some(root(nodes)), vec![list("cd-34", members)]);
    let names = |search: Search<'_>| -> Vec<String> {
        let found = directory.search(&Search { limit: 10, ..search });
        found.into_iter().map(|m| m.entry.name.clone()).collect()
    };
    let q = |q| names(Search { q: Some(q), ..Search::default() });
    assert_eq!(q("saint etienne"), ["Saint-Étienne-d'Albagnan"]);
    assert_eq!(q("BEZIERS"), ["Béziers", "Mairie de Béziers, service Œuvres"]);
    assert_eq!(q("beziers oeuvres"), ["Mairie de Béziers, service Œuvres"]);
    let agde = siret(4);
    assert_eq!(q(&agde), ["Agde"]);
    assert_eq!(q("nowhere"), [""; 0]);
    let cog: Cog = "34032".parse().unwrap();
    assert_eq!(names(Search { cog: Some(&cog), ..Search::default() }), ["Béziers"]);
    let code = "AEC".parse().unwrap();
    assert_eq!(names(Search { process: Some(&code), ..Search::default() }).len(), 3);

    // Page by page, every member once, in order.
    let mut seen = Vec::new();
    let mut after: Option<Party> = None;
    loop {
        let page =
            directory.search(&Search { after: after.as_ref(), limit: 1, ..Search::default() });
        let Some(one) = page.first() else { break };
        seen.push(one.entry.name.clone());
        after = Some(one.entry.party.clone());
    }
    let all = names(Search::default());
    assert_eq!((seen.len(), &seen), (4, &all));
    assert_eq!(all[0], "Agde");
}

#[test]
fn every_commune_of_france_is_found() {
    let departments: Vec<String> = (1..=95)
        .filter(|d| *d != 20)
        .map(|d| format!("{d:02}"))
        .chain(["2A".to_owned(), "2B".to_owned()])
        .collect();
    let mut nodes: Vec<_> = departments
        .iter()
        .map(|d| scoped(&format!("cd-{}", d.to_lowercase()), &[d.as_str()], &[]))
        .collect();
    nodes.extend([entry("etat", &["national"], None), entry("dila", &["national"], None)]);
    assert_eq!(nodes.len(), 98);
    let mut lists: Vec<_> =
        departments.iter().map(|d| list(&format!("cd-{}", d.to_lowercase()), vec![])).collect();
    for n in 0..34_875_u32 {
        let at = n as usize % lists.len();
        let cog = format!("{}{:03}", departments[at], n as usize / lists.len());
        let entry = member(&siret(n), &format!("Commune fictive {n}"), Some(&cog));
        lists[at].members.push(entry);
    }
    let directory = Directory::new(Some(root(nodes)), lists);
    assert_eq!((directory.len(), directory.rejected().len()), (34_875, 0));
    for n in 0..34_875 {
        assert!(directory.member(&party(&siret(n))).is_some());
    }
    let search = Search { q: Some("fictive 34874"), limit: 10, ..Search::default() };
    assert_eq!(directory.search(&search).len(), 1);
}

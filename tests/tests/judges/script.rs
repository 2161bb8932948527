//! (e) `ops/verify-with-openssl`, the second opinion in shell and OpenSSL: it accepts every whole
//! bundle and refuses each changed one, also where the archive itself was packed again without fault.

use std::path::Path;
use std::process::Command;

use tests::net::skipped;

use crate::exhibits::{Room, exhibits};
use crate::hostile::{Part, parts, plain};

/// Exit code, and what was printed.
fn ask(room: &Room, bundle: &Path, trust: &[&Path]) -> (Option<i32>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/verify-with-openssl");
    let output = Command::new(script).arg(bundle).args(trust).current_dir(room.dir()).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn tools_missing() -> bool {
    let missing =
        ["openssl", "unzip"].iter().any(|tool| Command::new(tool).arg("-v").output().is_err());
    if missing {
        skipped("ops/verify-with-openssl", "no openssl, or no unzip");
    }
    missing
}

#[tokio::test]
async fn the_second_opinion_accepts_every_bundle() {
    if tools_missing() {
        return;
    }
    let room = exhibits().await.unwrap().room().unwrap();
    for bundle in &room.bundles {
        let (code, said) = ask(&room, bundle, &[&room.root, &room.tsa]);
        assert_eq!(code, Some(0), "{}: {said}", bundle.display());
        let seals = said.matches("ok    seal ").count();
        assert!(said.contains(" hold, 0 do not\n") && seals >= 3, "{said}");
        let young = bundle.ends_with("young.asice");
        assert!(young || said.matches("ok    record ").count() + 1 == seals, "{said}");
    }
}

#[tokio::test]
async fn the_second_opinion_wants_the_anchors_of_seals_and_of_time() {
    if tools_missing() {
        return;
    }
    let room = exhibits().await.unwrap().room().unwrap();
    let bundle = room.dir().join("local.asice");
    for (trust, without) in [(&room.root, "record"), (&room.tsa, "seal")] {
        let (code, said) = ask(&room, &bundle, &[trust]);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(&format!("BAD   {without} ")), "{said}");
    }
    assert_eq!(ask(&room, &bundle, &[]).0, Some(2), "no anchor is wrong usage");
}

/// A change, and the files whose verdict must be bad because of it.
type Case = (&'static str, Vec<Part>, String);

/// Each file of a bundle changed by one octet, and then what is not about octets. The archive is
/// packed as it should be: its checksums are right, and it is the script that must notice.
fn changed(good: &[Part]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, part) in good.iter().enumerate() {
        let mut bad = good.to_vec();
        let mut octets = part.packed.clone();
        // A CMS ends with its signature; certificates and lists in front of it are not under it.
        let signature = part.name.ends_with(".p7s");
        let at = if signature { octets.len() - 8 } else { octets.len() / 2 };
        octets[at] ^= 0x01;
        bad[n] = Part::stored(&part.name, &octets);
        let signed = part.name == "META-INF/ASiCManifest001.xml";
        let named = if signed { "META-INF/signature001.p7s" } else { &part.name };
        cases.push(("one octet", bad, named.to_owned()));
    }
    let place = |end: &str| good.iter().position(|p| p.name.ends_with(end)).unwrap();
    let without = |n: usize| [&good[..n], &good[n + 1..]].concat();
    let first = place(".p7m");
    cases.push(("a seal taken out", without(first), good[first].name.clone()));
    cases.push(("no signature", without(place(".p7s")), "META-INF".to_owned()));
    let stranger = Part::stored("evidence/009-stranger.p7m", &good[first].packed);
    cases.push(("a file added", [good, &[stranger]].concat(), "evidence/009".to_owned()));
    let records: Vec<usize> = (0..good.len()).filter(|n| good[*n].name.ends_with(".ers")).collect();
    let mut swapped = good.to_vec();
    swapped[records[0]].packed.clone_from(&good[records[1]].packed);
    swapped[records[0]] = Part::stored(&good[records[0]].name, &swapped[records[0]].packed);
    cases.push(("a record of another", swapped, good[records[0]].name.clone()));
    cases
}

#[tokio::test]
async fn the_second_opinion_refuses_every_change_and_names_the_file() {
    if tools_missing() {
        return;
    }
    let exhibits = exhibits().await.unwrap();
    let room = exhibits.room().unwrap();
    let good = parts(exhibits, "local");
    let file = room.dir().join("changed.asice");
    for (what, parts, named) in changed(&good) {
        std::fs::write(&file, plain(&parts)).unwrap();
        let (code, said) = ask(&room, &file, &[&room.root, &room.tsa]);
        assert_eq!(code, Some(4), "{what}, {named}: {said}");
        let bad = said.lines().filter(|line| line.starts_with("BAD ")).any(|l| l.contains(&named));
        assert!(bad, "{what}, {named}: {said}");
    }
    // In the archive's own bookkeeping, which `unzip` checks; a name twice is refused before.
    let twice = [&good[..], &[Part::stored(&good[1].name, b"twice")]].concat();
    let mut torn = exhibits.of("local").unwrap().bundle.clone();
    torn.truncate(torn.len() / 2);
    for bytes in [plain(&twice), torn] {
        std::fs::write(&file, bytes).unwrap();
        let (code, said) = ask(&room, &file, &[&room.root, &room.tsa]);
        assert_eq!(code, Some(4), "{said}");
    }
}

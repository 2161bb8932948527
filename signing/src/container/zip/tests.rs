//! What the reader must follow, notice and refuse.

use super::*;
use proptest::prelude::*;

fn sample() -> Vec<Entry<'static>> {
    let entry = |name: &str, data: &'static [u8]| Entry { name: name.into(), data: data.into() };
    vec![
        entry("mimetype", b"application/vnd.etsi.asic-e+zip"),
        entry("evidence/001.p7m", b"sealed"),
        entry("documents/pièce", b""),
    ]
}

#[test]
fn what_is_written_is_read_back_as_canonical() {
    let bytes = write(&sample()).unwrap();
    assert_eq!(&bytes[30..38], b"mimetype");
    let archive = read(&bytes).unwrap();
    assert_eq!(archive.form, Form::Canonical);
    assert_eq!(archive.accounts, [sample()]);
}

#[test]
fn every_changed_bit_shows_and_one_account_still_holds_all_other_content() {
    let good = sample();
    let bytes = write(&good).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[at / 8] ^= 1 << (at % 8);
        let Ok(archive) = read(&bad) else { panic!("unreadable after bit {at}") };
        assert!(archive.form != Form::Canonical || archive.accounts[0] != good, "bit {at}");
        let changed = |account: &Vec<Entry<'_>>| {
            let same_names = account.iter().map(|e| &e.name).eq(good.iter().map(|e| &e.name));
            same_names.then(|| account.iter().zip(&good).filter(|(a, b)| a != b).count())
        };
        assert!(archive.accounts.iter().any(|a| changed(a).is_some_and(|n| n <= 1)), "bit {at}");
    }
}

#[test]
fn only_a_changed_content_counts_as_changed_and_never_the_bookkeeping() {
    // Two names that one bit tells apart
    let names = ["mimetype", "evidence/002.p7m", "evidence/003.p7m"];
    let good: Vec<_> = names
        .iter()
        .map(|name| Entry { name: (*name).into(), data: name.as_bytes().into() })
        .collect();
    let bytes = write(&good).unwrap();
    let directory = bytes.windows(4).position(|w| w == CENTRAL).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            let Ok(archive) = read(&bad) else { panic!("unreadable: octet {at}") };
            // As the verifier does: the account that holds most of what was written
            let kept = |a: &&Vec<Entry<'_>>| good.iter().filter(|e| a.contains(e)).count();
            let Some(account) = archive.accounts.iter().max_by_key(kept) else { panic!() };
            let found = changed(&bad, account);
            let content = names.iter().zip(contents(&bytes)).find(|(_, c)| c.contains(&at));
            let expected = content.filter(|_| at < directory).map(|(name, _)| *name);
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "octet {at}, bit {bit}");
        }
    }
}

/// Where the contents lie.
fn contents(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (_, files) = directory(bytes, LocalSizes::Read).unwrap();
    let at = |(offset, told): &(usize, Told<'_>)| offset + LOCAL_SIZE + told.name.len();
    files.iter().map(|f| at(f)..at(f) + f.1.packed.len()).collect()
}

#[test]
fn names_that_leave_the_archive_are_refused() {
    for name in ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "a\\b", "C:x", "a\nb", "dir/"]
    {
        let entry = Entry { name: name.into(), data: b"x".as_slice().into() };
        assert!(matches!(write(&[entry]), Err(ContainerError::BadName(_))), "{name:?}");
    }
}

#[test]
fn twice_the_same_name_is_refused_when_written_and_when_read() {
    let mut twice = sample();
    twice[2].name = "evidence/002.p7m".into();
    let mut bytes = write(&twice).unwrap();
    twice[2].name = "evidence/001.p7m".into();
    assert!(matches!(write(&twice), Err(ContainerError::Duplicate(_))));
    while let Some(at) = bytes.windows(12).position(|w| w == b"evidence/002") {
        bytes[at + 11] = b'1';
    }
    assert!(matches!(read(&bytes), Err(ContainerError::Duplicate(_))));
}

#[test]
fn a_bomb_is_not_inflated() {
    // One honest header in front of a stream that promises little and holds much
    let zeros = vec![0_u8; 1 << 20];
    let mut packer =
        flate2::read::DeflateEncoder::new(zeros.as_slice(), flate2::Compression::best());
    let mut packed = Vec::new();
    packer.read_to_end(&mut packed).unwrap();
    let told = Told { name: b"x", flags: 0, method: 8, crc: 0, packed: &packed, size: 10 };
    assert!(unpack(&told).is_err());
    let told = Told { size: 1 << 30, ..told };
    assert!(matches!(entries([told].into_iter()), Err(ContainerError::TooLarge(_))));
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..200) {
        let _ = read(&bytes);
        let good = write(&sample()).unwrap();
        let mut mixed = good.get(cut..).unwrap_or_default().to_vec();
        mixed.extend_from_slice(&bytes);
        mixed.extend_from_slice(&good);
        let _ = read(&mixed);
    }
}

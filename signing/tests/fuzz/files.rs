//! Containers, manifests, and the offline verifier that reads any file.

use std::borrow::Cow;
use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use signing::container::zip::{self, Entry, Form};
use signing::container::{Manifest, Reference};
use signing::trust::Anchors;
use signing::verify::{Options, verify};

use crate::common::now;
use crate::der::mutant;
use crate::hostile::{Rng, bytes, run};
use crate::network::{DOCUMENT, story};

const ZIP: [&[u8]; 8] = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"\xff\xff\xff\xff",
    b"\x08\x00",
    b"../",
    b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
];

fn archive() -> Vec<u8> {
    let entry =
        |name: &str, data: &[u8]| Entry { name: name.to_owned(), data: Cow::Owned(data.to_vec()) };
    zip::write(&[entry("mimetype", b"application/x"), entry("a/é.txt", &[b'a'; 300])]).unwrap()
}

/// An archive of one compressed entry, which grows to `size` octets and says `told` of it.
fn deflated(size: usize, told: u32) -> Vec<u8> {
    let content = vec![0; size];
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&content).unwrap();
    let packed = packer.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(&content);
    let fields = |sign: &[u8], rest: &[u8]| {
        let mut out = [sign, b"\x14\0\0\0\x08\0\0\0\x21\0"].concat();
        out.extend(crc.sum().to_le_bytes());
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(told.to_le_bytes());
        [out, vec![1, 0, 0, 0], rest.to_vec(), b"z".to_vec()].concat()
    };
    let local = [fields(b"PK\x03\x04", b""), packed.clone()].concat();
    let central = fields(b"PK\x01\x02\x14\0", &[0; 14]);
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend((central.len() as u32).to_le_bytes());
    end.extend((local.len() as u32).to_le_bytes());
    end.extend([0, 0]);
    [local, central, end].concat()
}

#[test]
fn archives() {
    let samples = [archive(), deflated(5_000, 5_000)];
    for sample in &samples {
        assert_ne!(zip::read(sample).unwrap().form, Form::Damaged);
    }
    run(
        "zip",
        1,
        |rng| bytes(rng, &samples, &ZIP),
        |input| {
            let Ok(archive) = zip::read(input) else { return };
            assert!((1..=3).contains(&archive.accounts.len()));
            for entry in archive.accounts.iter().flatten() {
                let parts: Vec<_> = entry.name.split('/').collect();
                assert!(!parts.iter().any(|p| matches!(*p, "" | "." | "..")), "{}", entry.name);
            }
            if archive.form == Form::Canonical {
                assert_eq!(zip::write(&archive.accounts[0]).unwrap(), input);
            }
        },
    );
}

#[test]
fn a_file_that_grows_beyond_bounds_is_refused() {
    let size = 1 << 18;
    let honest = deflated(size, size as u32);
    assert_eq!(zip::read(&honest).unwrap().accounts[0][0].data.len(), size);
    for told in [1_000, size as u32 - 1, size as u32 + 1, (256 << 20) + 1, u32::MAX] {
        assert!(zip::read(&deflated(size, told)).is_err(), "{told}");
    }
}

#[test]
fn manifests() {
    let reference = |path: &str| Reference::to(path, Some("text/plain"), b"x");
    let manifest = Manifest {
        signature: "META-INF/signature001.p7s".to_owned(),
        media_type: None,
        objects: vec![reference("a.txt"), reference("documents/é ' & <.pdf")],
    };
    let xml = manifest.to_xml();
    assert_eq!(Manifest::parse(xml.as_bytes()).unwrap(), manifest);
    let words: [&[u8]; 8] = [
        b"<!DOCTYPE a [<!ENTITY b \"c\">]>",
        b"&b;",
        b"%2e%2e/",
        b"<a>",
        b"</a>",
        b"<![CDATA[",
        b" xmlns=\"\"",
        b"<!--",
    ];
    let samples = [xml.into_bytes()];
    run(
        "manifests",
        1,
        |rng| bytes(rng, &samples, &words),
        |input| {
            if let Ok(read) = Manifest::parse(input) {
                assert_eq!(Manifest::parse(read.to_xml().as_bytes()).unwrap(), read);
                assert!(!read.objects.is_empty());
            }
        },
    );
}

#[test]
fn a_changed_bundle_is_never_valid() {
    let story = story();
    let bundle = story.bundle();
    let samples = [bundle.clone()];
    let judge = |bytes: &[u8], anchors: &Anchors| {
        let files = [("bundle.asice".to_owned(), bytes.to_vec())];
        verify(&files, anchors, now(), &Options::default())
    };
    assert!(judge(&bundle, &story.net.anchors).valid);
    run(
        "bundles",
        40,
        |rng| bytes(rng, &samples, &ZIP),
        |input| {
            let report = judge(input, &story.net.anchors);
            assert!(!report.valid || input == bundle, "a change was not noticed");
            assert!(!report.elements.is_empty() || input.is_empty());
        },
    );
}

#[test]
fn loose_files_of_any_kind() {
    let story = story();
    let crl = story.net.authority.crl(now()).unwrap().remove(0);
    let samples = [story.seals[0].clone(), story.records[0].clone(), crl];
    let make = |rng: &mut Rng| mutant(rng, &samples);
    let anchors = &story.net.anchors;
    run("loose", 10, make, |input| {
        let files = [
            ("a.p7m".to_owned(), story.seals[0].clone()),
            ("changed".to_owned(), input.to_vec()),
            ("d.txt".to_owned(), DOCUMENT.to_vec()),
        ];
        let report = verify(&files, anchors, now(), &Options::default());
        assert!(!report.elements.is_empty());
    });
}

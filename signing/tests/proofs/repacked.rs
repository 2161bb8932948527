//! Bundles that other tools packed again, and entries that do not belong.

use std::process::Command;

use signing::container::zip::{self, Form};
use signing::report::Report;
use signing::trust::Anchors;
use signing::verify::{Options, verify};

use crate::common::{Room, now};
use crate::network::{NAMES, story};

fn judge(bytes: Vec<u8>, anchors: &Anchors, allow_repacked: bool) -> Report {
    let options = Options { allow_repacked, ..Options::default() };
    verify(&[("b.asice".to_owned(), bytes)], anchors, now(), &options)
}

fn code(report: &Report) -> (&str, &str) {
    let fault = report.elements.iter().find(|e| Some(&e.path) == report.broken.as_ref()).unwrap();
    (&fault.path, &fault.code)
}

/// Runs a Python script over `in.zip`, which writes `out.zip`.
fn python(bundle: &[u8], script: &str) -> Option<Vec<u8>> {
    let room = Room::new();
    room.put("in.zip", bundle);
    let head =
        "import zipfile, sys\nz=zipfile.ZipFile('in.zip'); o=zipfile.ZipFile('out.zip','w')\n";
    room.put("run.py", format!("{head}{script}\no.close()\n"));
    let Ok(output) = Command::new("python3").arg("run.py").current_dir(room.dir()).output() else {
        eprintln!("skipped: there is no python3 on this machine");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(room.get("out.zip"))
}

#[test]
fn packed_again_with_compression_it_is_accepted_only_when_allowed() {
    let story = story();
    let scripts = [
        "for i in z.infolist(): o.writestr(i.filename, z.read(i), zipfile.ZIP_DEFLATED)",
        "for i in reversed(z.infolist()): o.writestr(i.filename, z.read(i))",
        "o.comment=b'sorted'\nfor i in z.infolist(): o.writestr(i, z.read(i))",
        "o.writestr('evidence/', b'')\nfor i in z.infolist(): o.writestr(i, z.read(i))",
    ];
    for script in scripts {
        let Some(packed) = python(&story.bundle(), script) else { return };
        let strict = judge(packed.clone(), &story.net.anchors, false);
        assert_eq!(code(&strict), ("container", "not-canonical"), "{script}");
        let lenient = judge(packed, &story.net.anchors, true);
        assert!(lenient.valid, "{script}: {lenient:#?}");
    }
}

#[test]
fn packed_again_with_a_change_it_is_refused_by_the_name_of_the_change() {
    let story = story();
    let changed = format!(
        "for i in z.infolist(): o.writestr(i.filename, z.read(i)+(b'x' if i.filename=='{}' else b''))",
        NAMES[1]
    );
    let missing = format!(
        "for i in z.infolist():\n  if i.filename!='{}': o.writestr(i, z.read(i))",
        NAMES[2]
    );
    let cases = [
        (changed.as_str(), (NAMES[1], "changed")),
        (missing.as_str(), (NAMES[2], "missing")),
        (
            "for i in z.infolist(): o.writestr(i, z.read(i))\no.writestr('evidence/004.p7m', b'new')",
            ("evidence/004.p7m", "unlisted"),
        ),
        (
            "for i in z.infolist(): o.writestr(i, z.read(i))\no.writestr('META-INF/seal.p7s', b'new')",
            ("META-INF/seal.p7s", "unlisted"),
        ),
        (
            "for i in z.infolist():\n  if i.filename!='mimetype': o.writestr(i, z.read(i))",
            ("mimetype", "missing"),
        ),
        (
            "for i in z.infolist(): o.writestr(i.filename.replace('signature001','seal'), z.read(i))",
            ("META-INF/signature001.p7s", "missing"),
        ),
    ];
    for (script, expected) in cases {
        let Some(packed) = python(&story.bundle(), script) else { return };
        for allow in [false, true] {
            let report = judge(packed.clone(), &story.net.anchors, allow);
            assert_eq!(code(&report), expected, "{script}");
        }
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let story = story();
    let script = "import warnings; warnings.simplefilter('ignore')\n\
                  for i in z.infolist(): o.writestr(i, z.read(i))\no.writestr('report.html', b'other')";
    let Some(packed) = python(&story.bundle(), script) else { return };
    for allow in [false, true] {
        let report = judge(packed.clone(), &story.net.anchors, allow);
        assert_eq!(code(&report), ("container", "duplicate-name"));
    }
}

#[test]
fn other_tools_read_what_we_write_and_we_read_what_they_write() {
    let story = story();
    let bundle = story.bundle();
    let archive = zip::read(&bundle).unwrap();
    assert_eq!(archive.form, Form::Canonical);
    let script = "for i in z.infolist():\n  assert z.testzip() is None\n  o.writestr(i, z.read(i))";
    let Some(packed) = python(&bundle, script) else { return };
    let again = zip::read(&packed).unwrap();
    let names =
        |a: &zip::Archive<'_>| a.accounts[0].iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&again), names(&archive));
}

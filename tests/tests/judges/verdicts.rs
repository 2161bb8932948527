//! (e) Every proof before foreign judges, whatever happened to the message.

use std::path::Path;

use exchange_node::clock::{self, Clock as _};
use schemas::time::Timestamp;

use crate::exhibits::{Room, exhibits};
use crate::token::token;
use tests::judges::{self, Finding};
use tests::net::skipped;

/// What the certificates of seals and their authority (3,650 days) do not live to see, and those of
/// the time-stamps (15 years) do.
fn in_ten_years() -> Timestamp {
    clock::system().now().plus(3_652 * 24 * 3_600 * 1_000)
}

async fn room() -> Room {
    exhibits().await.unwrap().room().unwrap()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn openssl_accepts_every_seal_as_cades() {
    let room = room().await;
    let seals = room.unpacked(".p7m").unwrap();
    assert!(seals.len() > 10 * 3, "{seals:?}");
    for seal in seals {
        let content = judges::openssl_cms(&seal, &room.root).unwrap();
        let _: serde_json::Value = serde_json::from_slice(&content).unwrap();
    }
}

#[tokio::test]
async fn openssl_accepts_every_token_over_the_tree_now_and_in_ten_years() {
    let room = room().await;
    let records = room.records().unwrap();
    let complete = room.unpacked(".p7m").unwrap();
    let complete = complete.iter().filter(|f| !f.to_string_lossy().contains("young.d")).count();
    assert!(records.len() >= complete, "each sealed object has its record");
    for recorded in records {
        let (token, data) = token(&recorded).unwrap();
        judges::openssl_ts(&token, &data, &room.tsa, None).unwrap();
        judges::openssl_ts(&token, &data, &room.tsa, Some(in_ten_years().secs())).unwrap();
        // The judge looks at the data: with an octet more it refuses.
        let other = [std::fs::read(&data).unwrap(), vec![0]].concat();
        std::fs::write(&data, other).unwrap();
        assert!(judges::openssl_ts(&token, &data, &room.tsa, None).is_err());
    }
}

#[tokio::test]
async fn bouncycastle_accepts_every_evidence_record_and_refuses_another_object() {
    let room = room().await;
    let mut records = room.records().unwrap();
    let said = match judges::bouncy_castle(&records).unwrap() {
        Ok(said) => said,
        Err(why) => return skipped("evidence records before BouncyCastle", why),
    };
    let good = said.lines().filter(|line| line.ends_with(".ers OK")).count();
    assert_eq!((good, said.lines().count()), (records.len(), records.len()), "{said}");
    records.truncate(1);
    records[0].object = room.root.clone();
    let said = judges::bouncy_castle(&records).unwrap().unwrap();
    assert!(said.contains(" FAIL "), "{said}");
}

/// Bundles, what is in them, and each token alone, before DSS.
fn ask_dss(room: &Room, at: Option<&str>) -> Option<Vec<Finding>> {
    let trust = room.anchors.iter().flat_map(|anchor| ["--trust".to_owned(), text(anchor)]);
    let mut args: Vec<String> = trust.collect();
    args.extend(at.into_iter().flat_map(|at| ["--at".to_owned(), at.to_owned()]));
    for recorded in room.records().unwrap() {
        let (token, data) = token(&recorded).unwrap();
        args.extend(["--over".to_owned(), text(&data), text(&token)]);
    }
    args.extend(room.bundles.iter().map(|b| text(b)));
    match judges::dss(&args).unwrap() {
        Ok(findings) => Some(findings),
        Err(why) => {
            skipped("bundles before the validator of the EU Commission", why);
            None
        }
    }
}

fn passed(finding: &Finding) -> bool {
    let good = match finding.what.as_str() {
        "signature" => finding.indication == "TOTAL_PASSED" && finding.format == "CAdES-BASELINE-B",
        "record" | "timestamp" => finding.indication == "PASSED",
        _ => false,
    };
    good && finding.messages.is_empty()
}

#[tokio::test]
async fn the_validator_of_the_commission_passes_all_without_a_warning() {
    let room = room().await;
    let Some(findings) = ask_dss(&room, None) else { return };
    let failed: Vec<_> = findings.iter().filter(|f| !passed(f)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // Nothing was overlooked: a file under a name that DSS does not know is silently not seen.
    let count = |what: &str, inside: &dyn Fn(&str) -> bool| {
        findings.iter().filter(|f| f.what == what && inside(&f.path)).count()
    };
    let (seals, records) = (room.unpacked(".p7m").unwrap().len(), room.records().unwrap().len());
    assert_eq!(count("signature", &|p| p.ends_with(".asice")), room.bundles.len());
    assert_eq!(count("record", &|p| p.ends_with(".asice")), records);
    assert_eq!(count("signature", &|p| p.ends_with(".p7m")), seals);
    assert_eq!(count("signature", &|p| p.contains(".p7m+")), records);
    assert_eq!(count("record", &|p| p.ends_with(".ers")), records);
    assert_eq!(count("timestamp", &|p| p.ends_with(".tst")), records);
}

#[tokio::test]
async fn the_validator_of_the_commission_passes_all_evidence_with_its_record_in_ten_years() {
    let room = room().await;
    let Some(findings) = ask_dss(&room, Some(&in_ten_years().to_string())) else { return };
    // Seals without the record beside them have ended, and nothing else is said of them.
    let alone = |f: &Finding| f.what == "signature" && !f.path.contains(".p7m+");
    for finding in &findings {
        if alone(finding) {
            // While the authority's own certificate lasted it would say NOT_REVOKED.
            assert_eq!(finding.sub_indication, "OUT_OF_BOUNDS_NO_POE", "{finding:#?}");
        } else {
            assert!(passed(finding), "{finding:#?}");
        }
    }
    let sealed = findings.iter().filter(|f| f.what == "signature" && !alone(f)).count();
    assert_eq!(sealed, room.records().unwrap().len());
}

#[tokio::test]
async fn xmllint_finds_evidence_and_manifests_valid_against_the_schemas_of_etsi() {
    let room = room().await;
    assert!(room.xml.len() > 9 * 3, "{:?}", room.xml);
    let manifests = room.unpacked(".xml").unwrap();
    let pairs = [("erds-all.xsd", &room.xml), ("asic/en_31916201v010101.xsd", &manifests)];
    for (schema, files) in pairs {
        if let Err(why) = judges::xmllint(schema, files).unwrap() {
            skipped("xmllint against the schemas of ETSI", &why);
        }
    }
}

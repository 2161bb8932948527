//! Paths and revocation, at the present and looking back.

use schemas::time::{DAY, Timestamp};
use signing::authority::{Authority, CRL_LIFE, Enrolled, Profile, RevocationReason, Subject};
use signing::certificate::CertInfo;
use signing::path::{Material, Path, PathError, Policy, Revocation, Usage, check_path};
use signing::signer::Algorithm;
use signing::trust::Anchors;

use crate::common::{anchors, authority, node, now};

/// What a check is made of; each test changes one thing.
struct Case {
    authority: Authority,
    node: Enrolled,
    anchors: Anchors,
    crls: Vec<Vec<u8>>,
    known: Vec<Vec<u8>>,
    policy: Policy,
}

fn case() -> Case {
    let mut authority = authority();
    let node = node(&mut authority, Algorithm::EcdsaP256Sha256);
    let crls = authority.crl(now()).unwrap();
    let anchors = anchors(&authority);
    Case { authority, node, anchors, crls, known: vec![], policy: Policy::default() }
}

impl Case {
    fn serial(&self) -> String {
        CertInfo::parse(&self.node.chain[0]).unwrap().serial
    }

    fn revoke(&mut self, at: Timestamp) {
        let serial = self.serial();
        self.authority.revoke(&serial, at, RevocationReason::CessationOfOperation).unwrap();
    }

    fn check_as(&self, usage: Usage, at: Timestamp) -> Result<Path, PathError> {
        let material = Material {
            leaf: &self.node.chain[0],
            chain: &self.node.chain[1..],
            crls: &self.crls,
            known_crls: &self.known,
        };
        check_path(&self.anchors, &material, usage, at, &self.policy)
    }

    fn check(&self, at: Timestamp) -> Result<Path, PathError> {
        self.check_as(Usage::Seal, at)
    }

    fn code(&self, at: Timestamp) -> &'static str {
        self.check(at).unwrap_err().code()
    }
}

#[test]
fn a_good_path_names_its_members_and_how_long_it_holds() {
    let case = case();
    let path = case.check(now()).unwrap();
    assert_eq!(path.certificates, case.node.chain);
    assert_eq!(path.anchor, case.authority.root_der());
    assert!(path.holds_at(now()));
    assert!(path.holds_at(now().plus(CRL_LIFE - 60_000)));
    assert!(!path.holds_at(now().plus(CRL_LIFE + 60_000)));
}

#[test]
fn validity_is_judged_at_the_given_time() {
    let mut case = case();
    assert_eq!(case.code(now().plus(-2 * DAY)), "not-yet-valid");
    assert_eq!(case.code(now().plus(731 * DAY)), "expired");
    assert_eq!(case.code(Timestamp::from_secs(-5)), "not-yet-valid");
    case.policy.revocation = Revocation::IfPresent;
    assert!(case.check(now().plus(728 * DAY)).is_ok());
}

#[test]
fn only_given_anchors_are_trusted() {
    let mut case = case();
    case.anchors = anchors(&authority());
    assert_eq!(case.code(now()), "unknown-authority");
    case.anchors = Anchors::none();
    assert_eq!(case.code(now()), "unknown-authority");
}

#[test]
fn an_intermediate_or_the_leaf_itself_may_be_the_anchor() {
    let mut case = case();
    let mut intermediate = Anchors::none();
    intermediate.add(case.authority.issuing_der()).unwrap();
    case.anchors = intermediate;
    case.crls.truncate(1);
    assert_eq!(case.check(now()).unwrap().anchor, case.authority.issuing_der());
    let mut leaf = Anchors::none();
    leaf.add(&case.node.chain[0]).unwrap();
    case.anchors = leaf;
    case.node.chain.truncate(1);
    case.crls.clear();
    assert_eq!(case.check(now()).unwrap().certificates.len(), 1);
    assert_eq!(case.code(now().plus(800 * DAY)), "expired");
    assert_eq!(case.check_as(Usage::TimeStamping, now()).unwrap_err().code(), "wrong-usage");
}

#[test]
fn the_chain_must_come_along_and_nothing_else() {
    let mut case = case();
    let intermediate = case.node.chain.pop().unwrap();
    assert_eq!(case.code(now()), "unknown-authority");
    case.node.chain.push(intermediate);
    let stranger = authority();
    case.node.chain.push(stranger.issuing_der().to_vec());
    assert_eq!(case.code(now()), "stray-certificate");
    case.policy.refuse_strays = false;
    assert!(case.check(now()).is_ok());
    case.crls.extend(stranger.crl(now()).unwrap());
    assert!(case.check(now()).is_ok());
    case.policy.refuse_strays = true;
    case.node.chain.pop();
    assert_eq!(case.code(now()), "stray-crl");
    // The anchor itself may come along.
    case.crls.truncate(2);
    case.node.chain.push(case.authority.root_der().to_vec());
    assert!(case.check(now()).is_ok());
}

#[test]
fn each_usage_has_its_profile() {
    let mut case = case();
    assert_eq!(case.check_as(Usage::TimeStamping, now()).unwrap_err().code(), "wrong-usage");
    let at = now().plus(-DAY);
    let mut enrol = |profile: &Profile| {
        let algorithm = Algorithm::EcdsaP256Sha256;
        case.authority
            .enrol(profile, &Subject::named("x"), algorithm, at, at.plus(90 * DAY))
            .unwrap()
    };
    let tsa = enrol(&Profile::Tsa);
    let encryption = enrol(&Profile::Encryption);
    let tls = enrol(&Profile::Tls { sans: vec!["a.example".to_owned()] });
    for other in [&encryption, &tls] {
        case.node = other.clone();
        assert_eq!(case.code(now()), "wrong-usage");
    }
    case.node = tsa;
    case.crls.remove(0);
    assert_eq!(case.code(now()), "wrong-usage");
    let path = case.check_as(Usage::TimeStamping, now()).unwrap();
    assert_eq!((path.certificates.len(), path.anchor.as_slice()), (1, case.authority.root_der()));
}

#[test]
fn every_certificate_below_the_anchor_needs_a_list() {
    let mut case = case();
    let lists = case.crls.clone();
    for keep in [vec![], vec![lists[0].clone()], vec![lists[1].clone()]] {
        case.crls = keep;
        assert_eq!(case.code(now()), "crl-missing");
    }
    case.policy.revocation = Revocation::IfPresent;
    assert!(case.check(now()).is_ok());
    // What the verifier holds itself serves as well.
    case.policy.revocation = Revocation::Required;
    case.crls.clear();
    case.known = lists;
    assert!(case.check(now()).is_ok());
}

#[test]
fn lists_must_cover_the_time() {
    let mut case = case();
    assert_eq!(case.code(now().plus(CRL_LIFE + DAY)), "crl-stale");
    // Made before the certificate: it cannot know of it.
    case.crls = case.authority.crl(now().plus(-2 * DAY)).unwrap();
    assert_eq!(case.code(now()), "crl-stale");
    case.crls = case.authority.crl(now().plus(DAY)).unwrap();
    assert_eq!(case.code(now()), "crl-future");
    // Our own lists are more recent than the stapled ones.
    let later = now().plus(30 * DAY);
    case.crls = case.authority.crl(now()).unwrap();
    case.known = case.authority.crl(later).unwrap();
    assert!(case.check(later).is_ok());
}

#[test]
fn looking_back_revocation_counts_from_its_date_on() {
    let mut case = case();
    let revoked = now().plus(10 * DAY);
    case.revoke(revoked);
    let present = now().plus(20 * DAY);
    case.crls = case.authority.crl(present).unwrap();
    case.policy.now = Some(present);
    let path = case.check(now()).unwrap();
    assert!(!path.holds_at(revoked));
    assert_eq!(case.code(revoked), "revoked");
    assert_eq!(case.code(present), "revoked");
    match case.check(present).unwrap_err() {
        PathError::Revoked { serial, at } => assert_eq!((serial, at), (case.serial(), revoked)),
        other => panic!("{other}"),
    }
}

#[test]
fn a_fresh_list_of_ours_overrides_a_stapled_one() {
    let mut case = case();
    case.revoke(now().plus(-3_600_000));
    assert!(case.check(now()).is_ok(), "the stapled list does not know");
    case.known = case.authority.crl(now()).unwrap();
    assert_eq!(case.code(now()), "revoked");
}

#[test]
fn ten_years_later_the_stapled_lists_still_speak_for_the_time_of_proof() {
    let mut case = case();
    case.policy.now = Some(now().plus(3_650 * DAY));
    assert!(case.check(now()).is_ok());
    // So does a list of years later: it says that it keeps the expired ones.
    case.crls = case.authority.crl(now().plus(2_000 * DAY)).unwrap();
    assert!(case.check(now()).is_ok());
}

#[test]
fn changed_lists_and_certificates_are_refused() {
    let mut case = case();
    let lists = case.crls.clone();
    for list in 0..2 {
        for at in (0..lists[list].len()).step_by(5) {
            case.crls = lists.clone();
            case.crls[list][at] ^= 4;
            assert!(case.check(now()).is_err(), "list {list} at {at}");
        }
    }
    case.crls = lists;
    let chain = case.node.chain.clone();
    for at in (0..chain[1].len()).step_by(3) {
        case.node.chain = chain.clone();
        case.node.chain[1][at] ^= 1;
        assert!(case.check(now()).is_err(), "intermediate at {at}");
    }
}

//! Anchors: each holds all objects after the one before, in order and without a gap; the root of
//! the tree over them is what its time-stamp was given for.

use aws_lc_rs::digest::{SHA256, digest};
use exchange_store::StoreError;
use exchange_store::snapshot::AnchorLook;
use schemas::time::Timestamp;
use signing::tsp::{Token, Trust};

use super::{Audit, Stage, count, finding};

/// Leaves of one read.
const PAGE: u32 = 10_000;

pub(super) async fn examine(audit: &mut Audit<'_>) -> Result<(), StoreError> {
    let last = audit.ends.anchors;
    let (mut id, mut seq) = (0, 0);
    loop {
        (audit.watch)(Stage::Anchors, count(id), count(last));
        let Some(anchor) = audit.place.store.snapshot().await?.anchor(id, last).await? else {
            return Ok(());
        };
        leaves(audit, &anchor, seq).await?;
        token(audit, &anchor);
        (id, seq) = (anchor.id, anchor.last_seq);
    }
}

/// Objects between the anchor before and this one.
async fn leaves(
    audit: &mut Audit<'_>,
    anchor: &AnchorLook,
    mut after: i64,
) -> Result<(), StoreError> {
    let mut rest = anchor.leaves.as_slice();
    let mut same = true;
    while after < anchor.last_seq && same {
        let mut snapshot = audit.place.store.snapshot().await?;
        let rows = snapshot.leaves(after, anchor.last_seq, PAGE).await?;
        let Some((end, _)) = rows.last() else { break };
        after = *end;
        for (_, sha256) in &rows {
            match rest.strip_prefix(sha256.as_slice()) {
                Some(behind) => rest = behind,
                None => same = false,
            }
        }
    }
    if !same || !rest.is_empty() || after != anchor.last_seq {
        audit.report.find(finding::LEAVES, &anchor.id, &[&anchor.last_seq]);
    }
    Ok(())
}

fn token(audit: &mut Audit<'_>, anchor: &AnchorLook) {
    let root = hex::encode(root(&anchor.leaves));
    let noted = hex::encode(&anchor.root);
    if root != noted {
        audit.report.find(finding::ROOT, &anchor.id, &[&root, &noted]);
    }
    let token = match Token::parse(&anchor.token) {
        Ok(token) => token,
        Err(error) => return audit.report.find(finding::TOKEN, &anchor.id, &[&error]),
    };
    let at = token.gen_time();
    // As of its own time: certificates of authorities end.
    let trust = Trust::new(audit.place.tsa_anchors, at);
    if let Err(error) = token.check(&trust, at) {
        audit.report.find(finding::TOKEN, &anchor.id, &[&error]);
    }
    if token.imprint() != anchor.root {
        let other = signing::tsp::TspError::OtherImprint;
        audit.report.find(finding::TOKEN, &anchor.id, &[&other]);
    }
    if at.millis() != anchor.at {
        let noted = Timestamp::from_millis(anchor.at);
        audit.report.find(finding::ANCHOR_TIME, &anchor.id, &[&noted, &at]);
    }
}

/// The root over joined leaves: the hash of each pair in ascending order; an odd one rises as it is
/// (RFC 4998 §4.2.2).
fn root(leaves: &[u8]) -> Vec<u8> {
    let mut level: Vec<Vec<u8>> = leaves.chunks(32).map(<[u8]>::to_vec).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [one, other] => {
                    let (low, high) = if one <= other { (one, other) } else { (other, one) };
                    digest(&SHA256, &[low.as_slice(), high].concat()).as_ref().to_vec()
                }
                alone => alone.concat(),
            })
            .collect();
    }
    level.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::digest::Digest;
    use signing::evidence_record::Tree;

    #[test]
    fn the_root_is_that_of_rfc_4998_for_any_number_of_leaves() {
        for n in 1..40_u8 {
            let leaves: Vec<Digest> = (0..n).map(|i| signing::digest::sha256(&[i, n])).collect();
            let joined: Vec<u8> = leaves.iter().flat_map(|d| *d.as_bytes()).collect();
            let tree = Tree::build(leaves).unwrap();
            assert_eq!(root(&joined), tree.root().as_bytes(), "{n} leaves");
        }
    }
}

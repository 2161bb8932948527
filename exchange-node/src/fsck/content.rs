//! The ciphertexts that keys lead to: each is there, as large as rows say, under its own digest.

use exchange_store::StoreError;
use exchange_store::content::ContentError;
use schemas::digest::Digest;

use super::{Audit, Stage, finding};

/// Digests of one read.
const PAGE: u32 = 500;

pub(super) async fn examine(audit: &mut Audit<'_>) -> Result<(), StoreError> {
    if audit.place.shelf.is_none() {
        return Ok(());
    }
    let mut after = Vec::new();
    loop {
        (audit.watch)(Stage::Content, audit.report.contents, 0);
        let rows = audit.place.store.snapshot().await?.content(&after, PAGE).await?;
        let Some((end, ..)) = rows.last() else { return Ok(()) };
        after.clone_from(end);
        for (digest, least, most) in rows {
            let Some(digest) = Digest::from_slice(&digest) else { continue };
            audit.report.contents += 1;
            one(audit, digest, least, most).await?;
        }
    }
}

async fn one(
    audit: &mut Audit<'_>,
    digest: Digest,
    least: i64,
    most: i64,
) -> Result<(), StoreError> {
    let Some(shelf) = audit.place.shelf else { return Ok(()) };
    let failed = |e: ContentError| StoreError::Unavailable(e.to_string());
    let size = match shelf.size(&digest).await.map_err(failed)? {
        Some(size) => size,
        None if audit.excused.contains(digest.as_bytes().as_slice()) => return Ok(()),
        // A node that runs may have erased it meanwhile.
        None if is_needed(audit, digest).await? => {
            audit.report.find(finding::CONTENT_MISSING, &digest, &[]);
            return Ok(());
        }
        None => return Ok(()),
    };
    let fits = |noted: i64| u64::try_from(noted).ok() == Some(size);
    if !fits(least) || !fits(most) {
        let sizes = format!("{size} / {least} / {most}");
        audit.report.find(finding::CONTENT_CHANGED, &digest, &[&sizes]);
    }
    if audit.place.whole {
        match shelf.is_whole(&digest).await {
            Ok(true) | Err(ContentError::Missing(_)) => {}
            Ok(false) => {
                audit.report.find(finding::CONTENT_CHANGED, &digest, &[&"sha256"]);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// Whether a key still leads there, and it still is not there.
async fn is_needed(audit: &Audit<'_>, digest: Digest) -> Result<bool, StoreError> {
    let Some(shelf) = audit.place.shelf else { return Ok(false) };
    // The digest just below: the next one is this one, if any row still says so.
    let mut before = digest.as_bytes().to_vec();
    for octet in before.iter_mut().rev() {
        *octet = octet.wrapping_sub(1);
        if *octet != 0xff {
            break;
        }
    }
    let rows = audit.place.store.snapshot().await?.content(&before, 1).await?;
    let listed = rows.first().is_some_and(|(d, ..)| d == digest.as_bytes());
    let failed = |e: ContentError| StoreError::Unavailable(e.to_string());
    Ok(listed && shelf.size(&digest).await.map_err(failed)?.is_none())
}

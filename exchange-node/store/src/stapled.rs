//! What seals have in common: the certificates and CRLs of a `SignedData` (RFC 5652 §5.1), kept
//! once. A stored object is those octets and, beside them, what comes before and after; together
//! they are the object, octet by octet.

use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};

use crate::StoreError;
use crate::db::{Args, Tx};
use crate::sql;

/// Fewer octets than this are not worth a reference.
const WORTH: usize = 256;
/// Tags on the way: SEQUENCE, `[0]` and `[1]`, constructed.
const SEQUENCE: u8 = 0x30;
const CERTIFICATES: u8 = 0xa0;
const CRLS: u8 = 0xa1;

/// An object without what it shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Row of what it shares, and where it belongs.
    pub(crate) shared: Option<(i64, i64)>,
    /// The rest.
    pub(crate) rest: Vec<u8>,
}

/// Cuts objects; what they share is in the table afterwards. The feed lock is held.
pub(crate) async fn cut(tx: &mut Tx, objects: &[&[u8]]) -> Result<Vec<Cut>, StoreError> {
    let ranges: Vec<Option<Range<usize>>> = objects.iter().map(|p7m| range(p7m)).collect();
    let mut blocks: Vec<&[u8]> = Vec::new();
    let mut numbers = Vec::with_capacity(objects.len());
    for (object, range) in objects.iter().zip(&ranges) {
        let block = range.clone().and_then(|range| object.get(range));
        numbers.push(block.map(|block| {
            blocks.iter().position(|known| *known == block).unwrap_or_else(|| {
                blocks.push(block);
                blocks.len() - 1
            })
        }));
    }
    let ids = ids(tx, &blocks).await?;
    type Piece<'a> = ((&'a &'a [u8], Option<Range<usize>>), Option<usize>);
    let cut = |((object, range), number): Piece<'_>| {
        let whole = Cut { shared: None, rest: object.to_vec() };
        let id = number.and_then(|number| ids.get(number).copied());
        let (Some(range), Some(id)) = (range, id) else { return whole };
        let (Some(before), Some(after)) = (object.get(..range.start), object.get(range.end..))
        else {
            return whole;
        };
        let at = i64::try_from(range.start).unwrap_or_default();
        Cut { shared: Some((id, at)), rest: [before, after].concat() }
    };
    Ok(objects.iter().zip(ranges).zip(numbers).map(cut).collect())
}

/// The rows of blocks, new where they are.
async fn ids(tx: &mut Tx, blocks: &[&[u8]]) -> Result<Vec<i64>, StoreError> {
    if blocks.is_empty() {
        return Ok(Vec::new());
    }
    let digests: Vec<Vec<u8>> =
        blocks.iter().map(|block| digest(&SHA256, block).as_ref().to_vec()).collect();
    let args = Args::new().blobs(digests.iter().map(Vec::as_slice));
    let mut rows: Vec<(i64, Vec<u8>)> = tx.fetch(sql::STAPLED_FIND, args).await?;
    let new = || {
        let known = |sha256: &Vec<u8>| rows.iter().any(|(_, known)| known == sha256);
        blocks.iter().zip(&digests).filter(move |(_, sha256)| !known(sha256))
    };
    if new().next().is_some() {
        let args = Args::new()
            .blobs(new().map(|(_, sha256)| sha256.as_slice()))
            .blobs(new().map(|(block, _)| *block));
        let inserted: Vec<(i64, Vec<u8>)> = tx.fetch(sql::STAPLED_INSERT, args).await?;
        rows.extend(inserted);
    }
    digests
        .iter()
        .map(|sha256| {
            let row = rows.iter().find(|(_, known)| known == sha256);
            row.map(|(id, _)| *id)
                .ok_or_else(|| StoreError::Corrupt("what seals share was not kept".to_owned()))
        })
        .collect()
}

/// Where certificates and CRLs lie, in DER. None for anything else: then the object is kept whole.
fn range(p7m: &[u8]) -> Option<Range<usize>> {
    let (info, _) = inside(p7m, 0, SEQUENCE)?;
    let content = after(p7m, info)?; // contentType
    let (explicit, _) = inside(p7m, content, CERTIFICATES)?; // content [0]
    let (signed, _) = inside(p7m, explicit, SEQUENCE)?;
    let mut start = signed;
    for _ in 0..3 {
        start = after(p7m, start)?; // version, digestAlgorithms, encapContentInfo
    }
    let mut end = start;
    for tag in [CERTIFICATES, CRLS] {
        if let Some((_, past)) = inside(p7m, end, tag) {
            end = past;
        }
    }
    (end - start >= WORTH).then_some(start..end)
}

/// Where the element at `at` begins inside and where it ends, when it has this tag.
fn inside(der: &[u8], at: usize, tag: u8) -> Option<(usize, usize)> {
    (*der.get(at)? == tag).then(|| element(der, at)).flatten()
}

/// Where the element at `at` ends.
fn after(der: &[u8], at: usize) -> Option<usize> {
    element(der, at).map(|(_, end)| end)
}

/// Content and end of the element at `at`, of a tag of one octet and a definite length of at most
/// four (X.690 §8.1.3).
fn element(der: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = usize::from(*der.get(at + 1)?);
    let (octets, start) =
        if first < 0x80 { (0, at + 2) } else { (first - 0x80, at + 2 + first - 0x80) };
    let length = match octets {
        0 if first < 0x80 => first,
        1..=4 => {
            let digits = der.get(at + 2..start)?;
            digits.iter().fold(0, |all, digit| all << 8 | usize::from(*digit))
        }
        _ => return None,
    };
    let end = start.checked_add(length)?;
    (end <= der.len()).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    }

    /// A `ContentInfo` with these certificates and CRLs.
    fn sealed(certificates: &[u8], crls: &[u8], signer: &[u8]) -> Vec<u8> {
        let parts = [
            tlv(0x02, &[1]),
            tlv(0x31, &[]),
            tlv(0x30, b"what was sealed"),
            certificates.to_vec(),
            crls.to_vec(),
            tlv(0x31, signer),
        ];
        let signed = tlv(0x30, &parts.concat());
        tlv(0x30, &[tlv(0x06, b"oid"), tlv(0xa0, &signed)].concat())
    }

    #[test]
    fn certificates_and_crls_are_found_and_nothing_else() {
        let (certificates, crls) = (tlv(0xa0, &[7; 400]), tlv(0xa1, &[8; 300]));
        let both = sealed(&certificates, &crls, b"me");
        assert_eq!(both[range(&both).unwrap()], [certificates.clone(), crls].concat());
        let one = sealed(&certificates, &[], b"me");
        assert_eq!(one[range(&one).unwrap()], certificates);
        assert_eq!(range(&sealed(&tlv(0xa0, &[7; 9]), &[], b"me")), None, "not worth it");
        assert_eq!(range(&both[..both.len() - 1]), None, "cut off");
        assert_eq!(range(b""), None);
    }

    proptest! {
        #[test]
        fn whatever_the_octets_are_the_range_lies_within(
            mut p7m in proptest::collection::vec(any::<u8>(), 0..600),
            like in any::<bool>(),
            at in 0_usize..700,
            flip in any::<u8>(),
        ) {
            if like {
                p7m = sealed(&tlv(0xa0, &[7; 400]), &tlv(0xa1, &p7m), b"me");
            }
            let length = p7m.len();
            if let Some(octet) = p7m.get_mut(at % length.max(1)) {
                *octet ^= flip;
            }
            if let Some(range) = range(&p7m) {
                prop_assert!(range.start < range.end && range.end <= p7m.len());
            }
        }
    }
}

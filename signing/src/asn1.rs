//! DER at the level of tag, length and value: what the hot path of seals needs, and no more.
//!
//! `Reader` walks borrowed bytes and refuses everything that DER forbids in a header (indefinite
//! or over-long lengths, tags above 30). `tlv` and its friends write. Structures that are not on
//! the hot path are decoded with `x509-cert`.

use der::asn1::ObjectIdentifier;

/// BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// NULL.
pub(crate) const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub(crate) const OID: u8 = 0x06;
/// UTF8String.
pub(crate) const UTF8_STRING: u8 = 0x0c;
/// UTCTime.
pub(crate) const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE and SEQUENCE OF.
pub(crate) const SEQUENCE: u8 = 0x30;
/// SET and SET OF.
pub(crate) const SET: u8 = 0x31;

/// `[n]`, constructed.
pub(crate) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// `[n]`, primitive.
pub(crate) const fn context_primitive(n: u8) -> u8 {
    0x80 | n
}

/// The bytes are not the DER that was expected here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed DER")]
pub struct Malformed;

/// One element: its tag, its contents, and both with the length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    pub(crate) raw: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// A reader over the contents.
    pub(crate) const fn inside(&self) -> Reader<'a> {
        Reader(self.value)
    }
}

/// Reads elements one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(crate) fn next(&mut self) -> Result<Tlv<'a>, Malformed> {
        let (&tag, rest) = self.0.split_first().ok_or(Malformed)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (length, rest) = definite_length(rest)?;
        let value = rest.get(..length).ok_or(Malformed)?;
        let whole = self.0.len() - rest.len() + length;
        let (raw, after) = self.0.split_at_checked(whole).ok_or(Malformed)?;
        self.0 = after;
        Ok(Tlv { tag, value, raw })
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, Malformed> {
        let tlv = self.next()?;
        if tlv.tag == tag { Ok(tlv) } else { Err(Malformed) }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, Malformed> {
        if self.0.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// Nothing may follow.
    pub(crate) const fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// Every element up to the end.
    pub(crate) fn all(mut self) -> Result<Vec<Tlv<'a>>, Malformed> {
        let mut out = Vec::new();
        while !self.is_empty() {
            out.push(self.next()?);
        }
        Ok(out)
    }
}

/// The one element that `bytes` are; nothing may follow it.
pub(crate) fn only(bytes: &[u8], tag: u8) -> Result<Tlv<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let tlv = reader.expect(tag)?;
    reader.end()?;
    Ok(tlv)
}

// X.690 §10.1: the definite form, in the fewest octets.
fn definite_length(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (&first, rest) = bytes.split_first().ok_or(Malformed)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > 4 {
        return Err(Malformed);
    }
    let (length, rest) = rest.split_at_checked(octets).ok_or(Malformed)?;
    if length.first() == Some(&0) {
        return Err(Malformed);
    }
    let length = length.iter().fold(0usize, |sum, octet| sum << 8 | usize::from(*octet));
    if length < 0x80 { Err(Malformed) } else { Ok((length, rest)) }
}

/// Octets of tag and length before `length` octets of contents.
pub(crate) const fn header_len(length: usize) -> usize {
    match length {
        0..0x80 => 2,
        0x80..0x100 => 3,
        0x100..0x1_0000 => 4,
        0x1_0000..0x100_0000 => 5,
        _ => 6,
    }
}

/// Octets of a whole element with `length` octets of contents.
pub(crate) const fn element_len(length: usize) -> usize {
    header_len(length) + length
}

/// Appends tag and length. Contents above 4 GiB do not exist here.
pub(crate) fn put_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let octets = header_len(length) - 2;
    if octets == 0 {
        out.push((length & 0x7f) as u8);
        return;
    }
    out.push(0x80 | octets as u8);
    for place in (0..octets).rev() {
        out.push((length >> (8 * place) & 0xff) as u8);
    }
}

/// One element made of `parts`.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(element_len(length));
    put_header(&mut out, tag, length);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// SEQUENCE of `parts`.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, parts)
}

/// SET OF `parts`, in the order of their encodings (X.690 §11.6), under `tag`.
pub(crate) fn set_of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    tlv(tag, &sorted)
}

/// OBJECT IDENTIFIER.
pub(crate) fn oid(id: ObjectIdentifier) -> Vec<u8> {
    tlv(OID, &[id.as_bytes()])
}

/// INTEGER of a big-endian magnitude: leading zeros go, a sign octet comes where it must.
pub(crate) fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|b| *b != 0).unwrap_or(magnitude.len());
    let digits = magnitude.get(start..).unwrap_or_default();
    let pad: &[u8] = match digits.first() {
        Some(first) if *first < 0x80 => &[],
        _ => &[0],
    };
    tlv(INTEGER, &[pad, digits])
}

/// BIT STRING of whole octets.
pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], octets])
}

/// The octets of a BIT STRING without unused bits.
pub(crate) fn whole_octets(value: &[u8]) -> Result<&[u8], Malformed> {
    match value.split_first() {
        Some((0, octets)) => Ok(octets),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_must_be_minimal_and_definite() {
        assert!(only(&[4, 1, 7], OCTET_STRING).is_ok());
        for bad in
            [&[4, 0x81, 1, 7][..], &[0x24, 0x80, 0, 0], &[4, 2, 7], &[4, 1, 7, 0], &[0x1f, 1, 7]]
        {
            assert!(
                Reader::new(bad)
                    .next()
                    .and_then(|t| { if t.raw.len() == bad.len() { Ok(t) } else { Err(Malformed) } })
                    .is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn integers_carry_a_sign_octet_only_where_needed() {
        assert_eq!(unsigned(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }

    #[test]
    fn sets_are_sorted() {
        assert_eq!(set_of(SET, &[&[2, 1, 9], &[2, 1, 3]]), [0x31, 6, 2, 1, 3, 2, 1, 9]);
    }

    proptest! {
        #[test]
        fn written_elements_are_read_back(tag in 0u8..0x1f, value in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let written = tlv(tag, &[&value]);
            let read = only(&written, tag).unwrap();
            prop_assert_eq!(read.value, &value[..]);
            prop_assert_eq!(written.len(), element_len(value.len()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Reader::new(&bytes).all();
        }
    }
}

//! BER to DER headers: foreign tools write `.p7m` files in streaming mode, with indefinite lengths
//! and chunked OCTET STRINGs.
//!
//! [`to_der`] rewrites such input with definite, minimal lengths and whole strings. It is the
//! identity on DER. The order of SET members is left alone: who reads them sorts them.

use crate::asn1::{self, Malformed, put_header};

/// Deepest nesting that is followed; a time-stamped seal needs fewer than 20.
const MOST_DEPTH: usize = 40;
/// Constructed OCTET STRING.
const CHUNKED: u8 = 0x24;
/// End-of-contents octets (X.690 §8.1.5).
const END: [u8; 2] = [0, 0];

/// One BER element, rewritten; nothing may follow it.
pub(crate) fn to_der(ber: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut rest = ber;
    let mut out = Vec::with_capacity(ber.len());
    element(&mut rest, &mut out, 0)?;
    if rest.is_empty() { Ok(out) } else { Err(Malformed) }
}

fn element(input: &mut &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), Malformed> {
    if depth > MOST_DEPTH {
        return Err(Malformed);
    }
    let (&tag, rest) = input.split_first().ok_or(Malformed)?;
    if tag & 0x1f == 0x1f {
        return Err(Malformed);
    }
    let (length, rest) = length(rest)?;
    let constructed = tag & 0x20 != 0;
    let (mut body, after) = match length {
        Some(length) => rest.split_at_checked(length).ok_or(Malformed)?,
        None if constructed => (rest, &[][..]),
        None => return Err(Malformed),
    };
    if !constructed {
        put_header(out, tag, body.len());
        out.extend_from_slice(body);
        *input = after;
        return Ok(());
    }
    // The header goes in front of contents whose length is known only now; each octet moves once
    // per level, and the depth is bounded.
    let start = out.len();
    while more(&mut body, length.is_none())? {
        let child = out.len();
        element(&mut body, out, depth + 1)?;
        if tag == CHUNKED {
            unwrap_chunk(out, child)?;
        }
    }
    let mut header = Vec::with_capacity(6);
    put_header(
        &mut header,
        if tag == CHUNKED { asn1::OCTET_STRING } else { tag },
        out.len() - start,
    );
    out.splice(start..start, header);
    *input = if length.is_none() { body } else { after };
    Ok(())
}

/// Is there another child? Takes the end-of-contents octets off.
fn more(body: &mut &[u8], indefinite: bool) -> Result<bool, Malformed> {
    if !indefinite {
        return Ok(!body.is_empty());
    }
    match body.strip_prefix(&END) {
        Some(after) => {
            *body = after;
            Ok(false)
        }
        None if body.is_empty() => Err(Malformed),
        None => Ok(true),
    }
}

/// A chunk at the end of `out` loses its own header.
fn unwrap_chunk(out: &mut Vec<u8>, child: usize) -> Result<(), Malformed> {
    let chunk = asn1::only(out.get(child..).unwrap_or_default(), asn1::OCTET_STRING)?;
    let header = chunk.raw.len() - chunk.value.len();
    out.drain(child..child + header);
    Ok(())
}

/// The length octets; `None` is the indefinite form. Over-long forms are BER and accepted.
fn length(bytes: &[u8]) -> Result<(Option<usize>, &[u8]), Malformed> {
    let (&first, rest) = bytes.split_first().ok_or(Malformed)?;
    match first {
        0..0x80 => Ok((Some(usize::from(first)), rest)),
        0x80 => Ok((None, rest)),
        _ => {
            let octets = usize::from(first & 0x7f);
            let (digits, rest) = rest.split_at_checked(octets).ok_or(Malformed)?;
            let start = digits.iter().position(|d| *d != 0).unwrap_or(digits.len());
            let digits = digits.get(start..).unwrap_or_default();
            if digits.len() > 4 {
                return Err(Malformed);
            }
            Ok((Some(digits.iter().fold(0, |sum, d| sum << 8 | usize::from(*d))), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn chunks_are_joined_and_lengths_made_definite() {
        // SEQUENCE (indefinite) { OCTET STRING (chunked, indefinite) { "ab", "c" }, INTEGER 5 with a long length }
        let ber =
            [0x30, 0x80, 0x24, 0x80, 4, 2, b'a', b'b', 4, 1, b'c', 0, 0, 2, 0x82, 0, 1, 5, 0, 0];
        let der = [0x30, 8, 4, 3, b'a', b'b', b'c', 2, 1, 5];
        assert_eq!(to_der(&ber).unwrap(), der);
        assert_eq!(to_der(&der).unwrap(), der);
    }

    #[test]
    fn open_ends_and_bottomless_nesting_are_refused() {
        assert_eq!(to_der(&[0x30, 0x80, 2, 1, 5]), Err(Malformed));
        assert_eq!(to_der(&[0x04, 0x80, 0, 0]), Err(Malformed));
        assert_eq!(to_der(&[0x30, 0, 0]), Err(Malformed));
        assert_eq!(to_der(&[0x30, 0x80].repeat(1000)), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(der) = to_der(&bytes) {
                prop_assert_eq!(to_der(&der), Ok(der));
            }
        }
    }
}

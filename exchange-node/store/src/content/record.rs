//! The bytes of a pack: records, one after the other, each a header of 64 octets and a payload.
//!
//! | octets | |
//! |---|---|
//! | 0..4   | magic `PLIr` |
//! | 4      | kind: 1 content, 2 tombstone |
//! | 8..12  | length of the payload |
//! | 12..16 | CRC-32 of the payload |
//! | 16..24 | how much of the pack was durable when this record was written |
//! | 24..56 | digest of the content, or of the content that the tombstone removes |
//! | 60..64 | CRC-32 of octets 0..60 and of the record's offset |
//!
//! Numbers are little-endian, other octets zero. The offset in the checksum keeps stale blocks
//! from passing as records. A tombstone's payload names the record that it removes: pack (16
//! octets) and offset (8 octets); content that is stored again later is not touched by it.
//!
//! Used in stored state: never changed, only followed by another magic.

use schemas::digest::Digest;
use uuid::Uuid;

/// Octets of a header.
pub(super) const HEADER: usize = 64;
/// The same, as a length in a file.
pub(super) const HEADER_LEN: u64 = 64;
/// First octets of every record.
pub(super) const MAGIC: [u8; 4] = *b"PLIr";

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A ciphertext.
    Content,
    /// The removal of one.
    Tombstone,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) length: u32,
    pub(super) payload_crc: u32,
    pub(super) durable: u64,
    pub(super) digest: Digest,
}

impl Record {
    /// Octets of header and payload.
    pub(super) const fn total(&self) -> u64 {
        HEADER_LEN + self.length as u64
    }

    /// Reads a header that begins at `offset` of its pack; none when it is not one.
    pub(super) fn read(header: &[u8; HEADER], offset: u64) -> Option<Self> {
        if header.get(..4)? != MAGIC || number(header, 60)? != checksum(header, offset) {
            return None;
        }
        let kind = match header.get(4)? {
            1 => Kind::Content,
            2 => Kind::Tombstone,
            _ => return None,
        };
        Some(Self {
            kind,
            length: number(header, 8)?,
            payload_crc: number(header, 12)?,
            durable: u64::from_le_bytes(header.get(16..24)?.try_into().ok()?),
            digest: Digest::from_slice(header.get(24..56)?)?,
        })
    }

    /// The record of a payload, for a pack of which `durable` octets are durable.
    pub(super) fn of(kind: Kind, digest: Digest, payload: &[u8], durable: u64) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Self { kind, length, payload_crc: crc32fast::hash(payload), durable, digest }
    }

    /// The header, for `offset` of the pack.
    pub(super) fn header(&self, offset: u64) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let kind = match self.kind {
            Kind::Content => 1,
            Kind::Tombstone => 2,
        };
        let parts: [&[u8]; 6] = [
            &MAGIC,
            &[kind, 0, 0, 0],
            &self.length.to_le_bytes(),
            &self.payload_crc.to_le_bytes(),
            &self.durable.to_le_bytes(),
            self.digest.as_bytes(),
        ];
        for (place, octet) in header.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *octet;
        }
        let check = checksum(&header, offset).to_le_bytes();
        if let Some(place) = header.get_mut(60..) {
            place.copy_from_slice(&check);
        }
        header
    }
}

/// The payload of a tombstone.
pub(super) fn tombstone(pack: Uuid, offset: u64) -> [u8; 24] {
    let mut payload = [0; 24];
    let octets = pack.into_bytes().into_iter().chain(offset.to_le_bytes());
    for (place, octet) in payload.iter_mut().zip(octets) {
        *place = octet;
    }
    payload
}

/// Reads the payload of a tombstone.
pub(super) fn removed(payload: &[u8]) -> Option<(Uuid, u64)> {
    let pack = Uuid::from_slice(payload.get(..16)?).ok()?;
    Some((pack, u64::from_le_bytes(payload.get(16..24)?.try_into().ok()?)))
}

fn number(header: &[u8; HEADER], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?))
}

fn checksum(header: &[u8; HEADER], offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.get(..60).unwrap_or_default());
    hasher.update(&offset.to_le_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let record = Record::of(Kind::Content, Digest([7; 32]), b"payload", 5);
        let header = record.header(100);
        assert_eq!(Record::read(&header, 100), Some(record));
        assert_eq!((record.length, record.durable, record.total()), (7, 5, 71));
        assert_eq!(Record::read(&header, 101), None, "a stale block");
        for bit in 0..HEADER * 8 {
            let mut bad = header;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::read(&bad, 100), None, "bit {bit}");
        }
    }

    #[test]
    fn tombstones_name_their_record() {
        let pack = Uuid::from_u128(42);
        assert_eq!(removed(&tombstone(pack, 7)), Some((pack, 7)));
        assert_eq!(removed(&[0; 23]), None);
    }
}

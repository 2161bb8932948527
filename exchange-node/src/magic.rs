//! Magic bytes: whether a document starts as its media type must.
//!
//! Types with a signature must show it. Types without one (text) must not show the signature of
//! another, and must not hold NUL bytes.

/// How many bytes are enough to judge.
pub const ENOUGH: usize = 1_024;

type Test = fn(&[u8]) -> bool;

const SIGNATURES: [(&str, Test); 12] = [
    // Readers accept a PDF header within the first 1,024 bytes (ISO 32000-2 annex).
    ("application/pdf", |b| b.windows(5).take(ENOUGH).any(|w| w == b"%PDF-")),
    ("image/png", |b| b.starts_with(b"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", |b| b.starts_with(b"\xff\xd8\xff")),
    ("image/gif", |b| b.starts_with(b"GIF87a") || b.starts_with(b"GIF89a")),
    ("image/tiff", |b| b.starts_with(b"II*\0") || b.starts_with(b"MM\0*")),
    ("image/webp", |b| b.starts_with(b"RIFF") && b.get(8..12) == Some(b"WEBP")),
    ("image/bmp", |b| b.starts_with(b"BM")),
    ("application/zip", |b| b.starts_with(b"PK\x03\x04") || b.starts_with(b"PK\x05\x06")),
    ("application/gzip", |b| b.starts_with(b"\x1f\x8b")),
    ("application/pkcs7-mime", |b| b.first() == Some(&0x30)),
    ("application/xml", looks_like_xml),
    ("text/xml", looks_like_xml),
];

/// Signatures of programs: never a document, whatever it is called.
const PROGRAMS: [&[u8]; 4] = [b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe"];

/// Whether a document that starts with `start` (its first [`ENOUGH`] bytes, or all of it) may be
/// of `media_type`.
#[must_use]
pub fn agrees(media_type: &str, start: &[u8]) -> bool {
    if start.is_empty() || PROGRAMS.iter().any(|p| start.starts_with(p)) {
        return false;
    }
    if let Some((_, test)) = SIGNATURES.iter().find(|(name, _)| *name == media_type) {
        return test(start);
    }
    let zipped = media_type.starts_with("application/vnd.oasis.opendocument.")
        || media_type.starts_with("application/vnd.openxmlformats-");
    match media_type {
        "application/json" => looks_like_json(start),
        _ if zipped => start.starts_with(b"PK\x03\x04"),
        _ if media_type.starts_with("text/") => is_text(start) && !has_signature(start),
        _ => true,
    }
}

fn has_signature(start: &[u8]) -> bool {
    let binary =
        SIGNATURES.iter().filter(|(name, _)| !name.ends_with("xml") && *name != "image/bmp");
    binary.filter(|(name, _)| *name != "application/pkcs7-mime").any(|(name, test)| {
        if *name == "application/pdf" { start.starts_with(b"%PDF-") } else { test(start) }
    })
}

fn is_text(start: &[u8]) -> bool {
    !start.contains(&0)
}

fn first_char(start: &[u8]) -> Option<u8> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start.iter().copied().find(|b| !b.is_ascii_whitespace())
}

fn looks_like_xml(start: &[u8]) -> bool {
    let utf16 = start.starts_with(b"\xff\xfe<\0") || start.starts_with(b"\xfe\xff\0<");
    utf16 || (first_char(start) == Some(b'<') && is_text(start))
}

fn looks_like_json(start: &[u8]) -> bool {
    let begins = |b: u8| b"{[\"-tfn".contains(&b) || b.is_ascii_digit();
    first_char(start).is_some_and(begins) && is_text(start)
}

#[cfg(test)]
mod tests {
    use super::agrees;

    #[test]
    fn a_type_must_show_its_signature() {
        assert!(agrees("application/pdf", b"%PDF-1.7\n..."));
        assert!(agrees("application/xml", b"\xef\xbb\xbf  <?xml version=\"1.0\"?><a/>"));
        assert!(agrees("application/json", b" [1,2]"));
        assert!(agrees("image/png", b"\x89PNG\r\n\x1a\nrest"));
        assert!(agrees("text/csv", b"a;b;c\n"));
    }

    #[test]
    fn a_program_in_disguise_is_refused() {
        for media in ["application/pdf", "text/plain", "application/octet-stream", "image/png"] {
            assert!(!agrees(media, b"MZ\x90\0"), "{media}");
            assert!(!agrees(media, b""), "{media}");
        }
        assert!(!agrees("application/pdf", b"<html>not a pdf</html>"));
        assert!(!agrees("text/plain", b"%PDF-1.7"));
        assert!(!agrees("application/json", b"<a/>"));
    }
}

//! `ASiCManifest` (EN 319 162-1 §A.4, namespace `http://uri.etsi.org/02918/v1.2.1#`).
//!
//! The same form serves the signature (`ASiCManifestNNN.xml`) and each evidence record
//! (`ASiCEvidenceRecordManifestNNN.xml`). URIs are paths from the container's root, percent-encoded:
//! with one relative to `META-INF/`, DSS checks no digest at all and lets everything pass.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use super::{ContainerError, zip};
use crate::algorithm::Hash;

const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// A bundle of 20,000 files needs 6 MiB.
const MAX_OCTETS: usize = 16 << 20;

/// Which files one signature or record covers, and with which digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Path of the signature or record, from the container's root.
    pub signature: String,
    /// Its media type.
    pub media_type: Option<String>,
    /// The files, in the order of the container.
    pub objects: Vec<Reference>,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Path from the container's root.
    pub path: String,
    /// Its media type.
    pub media_type: Option<String>,
    /// The hash function.
    pub hash: Hash,
    /// The digest of the file's bytes.
    pub digest: Vec<u8>,
}

impl Reference {
    /// A reference by SHA-256 to these bytes.
    #[must_use]
    pub fn to(path: &str, media_type: Option<&str>, bytes: &[u8]) -> Self {
        let hash = Hash::Sha256;
        let digest = hash.of_parts(&[bytes]);
        Self { path: path.to_owned(), media_type: media_type.map(str::to_owned), hash, digest }
    }

    /// Whether these are the bytes that the manifest means.
    #[must_use]
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        self.hash.of_parts(&[bytes]) == self.digest
    }
}

impl Manifest {
    /// The XML, in the one form that we write.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = String::with_capacity(300 + 320 * self.objects.len());
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n");
        let _ = writeln!(out, "<ASiCManifest xmlns=\"{ASIC}\" xmlns:ds=\"{DSIG}\">");
        out.push_str("  <SigReference");
        attributes(&mut out, &self.signature, self.media_type.as_deref());
        out.push_str("/>\n");
        for object in &self.objects {
            out.push_str("  <DataObjectReference");
            attributes(&mut out, &object.path, object.media_type.as_deref());
            let _ = writeln!(
                out,
                ">\n    <ds:DigestMethod Algorithm=\"{}\"/>\n    <ds:DigestValue>{}</ds:DigestValue>\n  </DataObjectReference>",
                object.hash.uri(),
                BASE64.encode(&object.digest),
            );
        }
        out.push_str("</ASiCManifest>\n");
        out
    }

    /// Reads a manifest, ours or another maker's. What it does not understand it refuses: DOCTYPE,
    /// extensions, unknown elements, attributes and hash functions, paths that leave the container.
    ///
    /// # Errors
    /// [`ContainerError::Manifest`], with what was not understood.
    pub fn parse(xml: &[u8]) -> Result<Self, ContainerError> {
        if xml.len() > MAX_OCTETS {
            return Err(ContainerError::TooLarge("manifest"));
        }
        let text = std::str::from_utf8(xml).map_err(|_| bad("not UTF-8"))?;
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_end_names = true;
        reader.config_mut().expand_empty_elements = true;
        let mut tokens = Tokens { reader };
        tokens.open(ASIC, "ASiCManifest")?;
        let reference = tokens.open(ASIC, "SigReference")?;
        tokens.close()?;
        let (signature, media_type) = target(&reference)?;
        let mut manifest = Self { signature, media_type, objects: Vec::new() };
        while let Some(element) = tokens.open_or_close(ASIC, "DataObjectReference")? {
            manifest.objects.push(tokens.reference(&element)?);
        }
        tokens.end()?;
        if manifest.objects.is_empty() {
            return Err(bad("it names no file"));
        }
        // XML 1.0 §2.2 cannot hold them, and the reader lets them pass; paths are checked already.
        let types = manifest.objects.iter().map(|o| &o.media_type).chain([&manifest.media_type]);
        if types.flatten().any(|media_type| media_type.contains(char::is_control)) {
            return Err(bad("a control character"));
        }
        Ok(manifest)
    }
}

/// The reader's events without what carries no meaning.
struct Tokens<'a> {
    reader: NsReader<&'a [u8]>,
}

/// What matters of an event.
enum Token {
    Open(String, Vec<(String, String)>),
    Text(String),
    Close,
    End,
}

/// Attributes of an element, namespace declarations left out.
type Element = Vec<(String, String)>;

impl Tokens<'_> {
    fn next(&mut self) -> Result<Token, ContainerError> {
        loop {
            let (space, event) =
                self.reader.read_resolved_event().map_err(|e| bad(&e.to_string()))?;
            match event {
                Event::Start(start) => {
                    let ResolveResult::Bound(Namespace(space)) = space else {
                        return Err(bad("an element without namespace"));
                    };
                    let name = format!("{space}{}", start.local_name().as_ref());
                    return Ok(Token::Open(name, read_attributes(&start)?));
                }
                Event::End(_) => return Ok(Token::Close),
                Event::Text(text) => {
                    if !text.trim().is_empty() {
                        return Ok(Token::Text(text.trim().to_owned()));
                    }
                }
                Event::Decl(_) | Event::Comment(_) => {}
                Event::Eof => return Ok(Token::End),
                _ => return Err(bad("DOCTYPE, CDATA, entity or processing instruction")),
            }
        }
    }

    fn open(&mut self, space: &str, local: &str) -> Result<Element, ContainerError> {
        self.open_or_close(space, local)?.ok_or_else(|| bad(&format!("no {local}")))
    }

    fn open_or_close(
        &mut self,
        space: &str,
        local: &str,
    ) -> Result<Option<Element>, ContainerError> {
        match self.next()? {
            Token::Open(name, attributes) if name.strip_prefix(space) == Some(local) => {
                Ok(Some(attributes))
            }
            Token::Close => Ok(None),
            _ => Err(bad(&format!("something else where {local} belongs"))),
        }
    }

    fn close(&mut self) -> Result<(), ContainerError> {
        match self.next()? {
            Token::Close => Ok(()),
            _ => Err(bad("content where none belongs")),
        }
    }

    fn end(&mut self) -> Result<(), ContainerError> {
        match self.next()? {
            Token::End => Ok(()),
            _ => Err(bad("content after the end")),
        }
    }

    fn reference(&mut self, element: &Element) -> Result<Reference, ContainerError> {
        let (path, media_type) = target(element)?;
        let method = self.open(DSIG, "DigestMethod")?;
        self.close()?;
        let uri = attribute(&method, "Algorithm").unwrap_or_default();
        let hash = Hash::from_uri(uri).ok_or_else(|| bad("hash function not accepted"))?;
        self.open(DSIG, "DigestValue")?;
        let Token::Text(value) = self.next()? else { return Err(bad("no digest")) };
        self.close()?;
        self.close()?;
        let digest = BASE64.decode(value).ok().filter(|d| d.len() == hash.len());
        let digest = digest.ok_or_else(|| bad("a digest of the wrong form"))?;
        Ok(Reference { path, media_type, hash, digest })
    }
}

fn read_attributes(start: &BytesStart<'_>) -> Result<Element, ContainerError> {
    let mut out = Element::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| bad(&e.to_string()))?;
        let key = attribute.key.as_ref().to_owned();
        if key == "xmlns" || key.starts_with("xmlns:") {
            continue;
        }
        let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0);
        out.push((key, value.map_err(|e| bad(&e.to_string()))?.into_owned()));
    }
    Ok(out)
}

fn attribute<'a>(element: &'a Element, name: &str) -> Option<&'a str> {
    element.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn target(element: &Element) -> Result<(String, Option<String>), ContainerError> {
    let known = |key: &str| matches!(key, "URI" | "MimeType" | "Rootfile");
    if let Some((key, _)) = element.iter().find(|(key, _)| !known(key)) {
        return Err(bad(&format!("attribute {key}")));
    }
    let uri = attribute(element, "URI").ok_or_else(|| bad("no URI"))?;
    let path = path_of(uri).ok_or_else(|| bad("a URI that is no path from the root"))?;
    Ok((path, attribute(element, "MimeType").map(str::to_owned)))
}

fn attributes(out: &mut String, path: &str, media_type: Option<&str>) {
    let _ = write!(out, " URI=\"{}\"", uri_of(path));
    if let Some(media_type) = media_type {
        out.push_str(" MimeType=\"");
        for c in media_type.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                c if c.is_control() => {}
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// RFC 3986 §2: everything but unreserved characters and the slash is percent-encoded.
fn uri_of(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The inverse, for plain UTF-8 too; `+` is a plus. `None` for what is no path inside.
fn path_of(uri: &str) -> Option<String> {
    let mut out = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(after.get(..2)?, &mut byte).ok()?;
            out.extend_from_slice(&byte);
            rest = after.get(2..)?;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    String::from_utf8(out).ok().filter(|path| zip::is_safe(path))
}

fn bad(why: &str) -> ContainerError {
    ContainerError::Manifest(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Manifest {
        Manifest {
            signature: "META-INF/signature001.p7s".into(),
            media_type: Some("application/pkcs7-signature".into()),
            objects: vec![
                Reference::to("evidence/001 A.1.p7m", Some("application/pkcs7-mime"), b"one"),
                Reference::to("documents/pièce+jointe 100%.pdf", Some("x/y; a=\"<&>\""), b"two"),
            ],
        }
    }

    #[test]
    fn a_media_type_holds_no_control_character() {
        let manifest = Manifest {
            signature: "META-INF/signature001.p7s".to_owned(),
            media_type: None,
            objects: vec![Reference::to("a.txt", Some("text/plain"), b"x")],
        };
        let xml = manifest.to_xml();
        assert!(Manifest::parse(xml.as_bytes()).is_ok());
        for odd in ["\0", "\u{1}", "&#1;", "&#10;"] {
            let changed = xml.replace("text/plain", &format!("text{odd}/plain"));
            assert!(Manifest::parse(changed.as_bytes()).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn written_and_read_back() {
        let xml = sample().to_xml();
        assert!(xml.contains("documents/pi%C3%A8ce%2Bjointe%20100%25.pdf"));
        assert_eq!(Manifest::parse(xml.as_bytes()).unwrap(), sample());
    }

    #[test]
    fn other_makers_forms_are_read() {
        let xml = sample().to_xml();
        let prefixed = xml.replace("<ASiC", "<a:ASiC").replace("</ASiC", "</a:ASiC");
        let prefixed = prefixed.replace("<Sig", "<a:Sig").replace("<Data", "<a:Data");
        let prefixed = prefixed.replace("</Data", "</a:Data").replace(" xmlns=", " xmlns:a=");
        let prefixed = prefixed.replace("pi%C3%A8ce%2B", "pièce+").replace('"', "'");
        let prefixed = prefixed.replace("x/y; a=&quot;&lt;&amp;&gt;&quot;", "x/y");
        let read = Manifest::parse(prefixed.as_bytes()).unwrap();
        assert_eq!(read.objects[1].path, sample().objects[1].path);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let xml = sample().to_xml();
        let tries = [
            xml.replace("v1.2.1#", "v1.1.1#"),
            xml.replace("xmlenc#sha256", "xmldsig#sha1"),
            xml.replace("<ASiCManifest", "<!DOCTYPE a><ASiCManifest"),
            xml.replace("</ASiCManifest>", "<ASiCManifestExtensions/></ASiCManifest>"),
            xml.replace("evidence/", "../evidence/"),
            xml.replace("evidence/", "%2E%2E/evidence/"),
            xml.replace("evidence/", "/evidence/"),
            xml.replace("100%25", "100%"),
            xml.replace(" URI=", " Uri="),
            xml.replace("</ds:DigestValue>", "=</ds:DigestValue>"),
            xml.replace("</ASiCManifest>", ""),
            format!("{xml}<x/>"),
            String::new(),
        ];
        for (number, bad) in tries.iter().enumerate() {
            assert!(Manifest::parse(bad.as_bytes()).is_err(), "try {number}: {bad}");
        }
    }

    proptest! {
        #[test]
        fn paths_survive(path in "[a-zA-Z0-9%+éà &<>'\"#?=._-]{1,40}") {
            prop_assume!(!matches!(path.as_str(), "." | ".."));
            prop_assert_eq!(path_of(&uri_of(&path)), Some(path));
        }
    }
}

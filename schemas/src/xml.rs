//! Evidence as ETSI XML (EN 319 522-3), and back.
//!
//! JSON and XML say the same by rule: the keys of the JSON are the element names of the schema.
//! What differs is fixed here and nowhere else:
//! - global elements are in the namespace of the standard, local ones in none (the schema has no
//!   `elementFormDefault`);
//! - the identifier of a user is text with the attribute `IdentifierSchemeName`;
//! - digests are base64 in `ds:DigestValue` and hexadecimal in JSON;
//! - identity attributes are `saml:Attribute`;
//! - our extension is a row of elements in the namespace [`PLI`].
//!
//! The seal stays on the JSON: the XML is a rendering for those who read XML, and carries no
//! `ds:Signature`. `xml/write.rs` writes, `xml/tree.rs` reads bytes into a bounded tree,
//! `xml/read.rs` turns the tree into evidence, in the order of the schema.

use crate::evidence::Evidence;

mod read;
mod tree;
mod write;

/// Namespace of EN 319 522-3.
pub const ETSI: &str = "http://uri.etsi.org/19522/v1#";
/// Namespace of SAML 2.0 assertions.
pub const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Namespace of XML signatures.
pub const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Namespace of the elements of our extension.
pub const PLI: &str = "urn:pli:evidence:v1";
/// Largest document that [`Evidence::from_xml`] reads, in bytes: 1,000 addressees with 2,000
/// parts take less than a third of it.
pub const MAX_XML: usize = 4 * 1024 * 1024;

/// Why evidence cannot be written as XML, or read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadXml {
    /// Larger than [`MAX_XML`].
    #[error("a document of {0} bytes is larger than {MAX_XML}")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// Not well formed.
    #[error("byte {at}: not well formed: {why}")]
    Syntax {
        /// Position in bytes.
        at: u64,
        /// What the parser says.
        why: String,
    },
    /// A document type, an entity, too many elements or attributes, too much depth.
    #[error("byte {at}: {what} is not accepted")]
    Refused {
        /// Position in bytes.
        at: u64,
        /// What it is.
        what: &'static str,
    },
    /// An element or attribute that the schema wants is not there.
    #[error("byte {at}: {parent} has no {name} where the schema wants one")]
    Missing {
        /// Position in bytes.
        at: u64,
        /// Where.
        parent: String,
        /// What.
        name: &'static str,
    },
    /// An element, an attribute or a text that cannot stand there.
    #[error("byte {at}: {parent} may not hold {name} there")]
    Unexpected {
        /// Position in bytes.
        at: u64,
        /// Where.
        parent: String,
        /// What.
        name: String,
    },
    /// A value that cannot be read.
    #[error("byte {at}: the value of {name} is not {wanted}")]
    Value {
        /// Position in bytes.
        at: u64,
        /// Where.
        name: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A character that XML 1.0 cannot hold (§2.2), in what should be written.
    #[error("the character U+{0:04X} cannot stand in XML")]
    Character(u32),
}

impl Evidence {
    /// The evidence as a document of the ETSI schema, indented, with an XML declaration.
    ///
    /// # Errors
    /// [`BadXml::Character`], which [`Evidence::check`] rules out.
    pub fn to_xml(&self) -> Result<String, BadXml> {
        write::document(self)
    }

    /// Reads a document of the ETSI schema. Components that Pli does not issue (delegates,
    /// transaction logs, `ds:Signature`) are refused, never dropped.
    ///
    /// # Errors
    /// [`BadXml`] with the position.
    pub fn from_xml(bytes: &[u8]) -> Result<Self, BadXml> {
        let root = tree::parse(bytes)?;
        read::evidence(&root)
    }
}

/// Whether XML 1.0 can hold `c` (§2.2, production `Char`).
const fn is_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests;

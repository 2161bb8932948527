//! Foreign bytes to a small tree: bounded in size, depth, elements and attributes; no document
//! type, no entity but the five predefined ones, no processing instruction.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::{NsReader, XmlVersion};

use super::{BadXml, DS, ETSI, MAX_XML, PLI, SAML, is_char};

/// Deepest nesting: the schema needs 6.
const MAX_DEPTH: usize = 16;
/// Most elements: 1,000 addressees with 2,000 parts need about 20,000.
const MAX_ELEMENTS: usize = 40_000;
/// Most attributes of one element, namespace declarations included.
const MAX_ATTRIBUTES: usize = 16;
/// Longest name of an element, in bytes.
const MAX_NAME: usize = 80;
/// Attributes of this namespace say where schemas lie, and nothing about the evidence.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The namespaces that evidence is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// None: local elements of the ETSI schema.
    Local,
    /// EN 319 522-3.
    Etsi,
    /// SAML.
    Saml,
    /// XML signatures.
    Ds,
    /// Our extension.
    Pli,
}

/// One element.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) space: Space,
    pub(super) name: String,
    /// Without namespace declarations and hints about schemas.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Self>,
    /// Character data; only white space beside children.
    pub(super) text: String,
    /// Where its start tag ends, in bytes.
    pub(super) at: u64,
}

/// Reads a whole document into its root element.
pub(super) fn parse(bytes: &[u8]) -> Result<Element, BadXml> {
    if bytes.len() > MAX_XML {
        return Err(BadXml::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadXml::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.find(|c| !is_char(c)) {
        return Err(BadXml::Syntax { at: at as u64, why: "forbidden character".to_owned() });
    }
    let mut build = Build { open: Vec::new(), root: None, elements: 0, at: 0 };
    let mut reader = NsReader::from_str(text);
    loop {
        let event = reader.read_event();
        build.at = reader.buffer_position();
        match event.map_err(|e| build.syntax(e))? {
            Event::Start(tag) => {
                let element = build.start(&reader, &tag)?;
                build.push(element)?;
            }
            Event::Empty(tag) => {
                let element = build.start(&reader, &tag)?;
                build.push(element)?;
                build.pop()?;
            }
            Event::End(_) => build.pop()?,
            Event::Text(t) => build.text(&t.xml10_content())?,
            Event::CData(t) => build.text(&t.xml10_content())?,
            Event::GeneralRef(r) => build.reference(&r)?,
            Event::Comment(_) | Event::Decl(_) => {}
            Event::PI(_) => return Err(build.refused("a processing instruction")),
            Event::DocType(_) => return Err(build.refused("a document type")),
            Event::Eof => return build.finish(),
        }
    }
}

/// The tree as far as it is read.
struct Build {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    at: u64,
}

impl Build {
    fn start(&mut self, reader: &NsReader<&[u8]>, tag: &BytesStart<'_>) -> Result<Element, BadXml> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(self.refused("so many elements"));
        }
        let (space, name) = reader.resolver().resolve_element(tag.name());
        let space = match space {
            ResolveResult::Unbound => Space::Local,
            ResolveResult::Bound(Namespace(ETSI)) => Space::Etsi,
            ResolveResult::Bound(Namespace(SAML)) => Space::Saml,
            ResolveResult::Bound(Namespace(DS)) => Space::Ds,
            ResolveResult::Bound(Namespace(PLI)) => Space::Pli,
            _ => return Err(self.refused("an element of another namespace")),
        };
        if name.into_inner().len() > MAX_NAME {
            return Err(self.refused("such a long name"));
        }
        Ok(Element {
            space,
            name: name.into_inner().to_owned(),
            attributes: self.attributes(reader, tag)?,
            children: Vec::new(),
            text: String::new(),
            at: self.at,
        })
    }

    fn attributes(
        &self,
        reader: &NsReader<&[u8]>,
        tag: &BytesStart<'_>,
    ) -> Result<Vec<(String, String)>, BadXml> {
        let mut out: Vec<(String, String)> = Vec::new();
        // Counted and compared here: the parser's own check is quadratic without a bound.
        for (i, attribute) in tag.attributes().with_checks(false).enumerate() {
            if i >= MAX_ATTRIBUTES {
                return Err(self.refused("so many attributes"));
            }
            let attribute = attribute.map_err(|e| self.syntax(e))?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (space, name) = reader.resolver().resolve_attribute(attribute.key);
            match space {
                ResolveResult::Unbound => {}
                ResolveResult::Bound(Namespace(XSI)) => continue,
                _ => return Err(self.refused("an attribute of another namespace")),
            }
            if attribute.value.contains('<') {
                return Err(self.syntax("< in an attribute"));
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|e| self.syntax(e))?
                .into_owned();
            if !value.chars().all(is_char) {
                return Err(self.syntax("forbidden character"));
            }
            let name = name.into_inner().to_owned();
            if out.iter().any(|(known, _)| *known == name) {
                return Err(self.syntax("the same attribute twice"));
            }
            out.push((name, value));
        }
        Ok(out)
    }

    fn push(&mut self, element: Element) -> Result<(), BadXml> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.refused("such depth"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(self.syntax("a second root element"));
        }
        self.open.push(element);
        Ok(())
    }

    fn pop(&mut self) -> Result<(), BadXml> {
        let Some(done) = self.open.pop() else { return Err(self.syntax("an end without start")) };
        if !done.children.is_empty() && !is_space(&done.text) {
            return Err(BadXml::Unexpected {
                at: done.at,
                parent: done.name,
                name: "text".to_owned(),
            });
        }
        match self.open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => self.root = Some(done),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), BadXml> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if is_space(text) => {}
            None => return Err(self.syntax("text outside of the root element")),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), BadXml> {
        let c = match reference.resolve_char_ref().map_err(|e| self.syntax(e))? {
            Some(c) if is_char(c) => c,
            Some(_) => return Err(self.syntax("forbidden character")),
            None => match &*reference.xml10_content() {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => return Err(self.refused("an entity")),
            },
        };
        self.text(c.encode_utf8(&mut [0; 4]))
    }

    fn finish(self) -> Result<Element, BadXml> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(BadXml::Syntax { at: self.at, why: "the document ends too early".to_owned() }),
        }
    }

    fn syntax(&self, why: impl ToString) -> BadXml {
        BadXml::Syntax { at: self.at, why: why.to_string().chars().take(200).collect() }
    }

    const fn refused(&self, what: &'static str) -> BadXml {
        BadXml::Refused { at: self.at, what }
    }
}

/// White space of XML (§2.3).
fn is_space(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

//! Files given one by one: what covers what is found by trying.

use std::collections::HashMap;

use der::{Decode, Encode};
use schemas::time::Timestamp;

use super::records::Proved;
use super::session::Session;
use super::{records, sealed, sequence};
use crate::certificate::Signed;
use crate::evidence_record::{Object, RecordError, verify_record_with};
use crate::report::{Element, Kind, Verdict};
use crate::seal::{SealError, open, open_detached};
use crate::tsp::wire::TimeStampResp;
use crate::tsp::{Token, TspError};

/// One file.
type File = (String, Vec<u8>);

/// What a file is.
enum Nature {
    Token(Box<Token>),
    Record,
    Seal,
    List(Vec<Vec<u8>>),
    /// Anything else: what others may cover.
    Data,
}

/// Judges the files together.
pub(super) fn check(session: &mut Session<'_>, files: &[&File]) -> Vec<Element> {
    let natures: Vec<_> = files.iter().map(|f| nature(f)).collect();
    for nature in &natures {
        if let Nature::List(lists) = nature {
            session.learn(lists);
        }
    }
    let mut view = View { session, files, covered: HashMap::new(), out: Vec::new() };
    for (file, nature) in files.iter().zip(&natures) {
        match nature {
            Nature::Token(token) => view.token(&file.0, token),
            Nature::Record => view.record(file),
            _ => {}
        }
    }
    for (file, nature) in files.iter().zip(&natures) {
        if matches!(nature, Nature::Seal) {
            view.seal(file);
        }
    }
    for (file, nature) in files.iter().zip(&natures) {
        if matches!(nature, Nature::Data) {
            view.data(&file.0);
        }
    }
    view.out
}

struct View<'a, 's> {
    session: &'a mut Session<'s>,
    files: &'a [&'a File],
    /// Files that a record, token or signature covers, and since when they are proved to exist.
    covered: HashMap<&'a str, Option<Proved>>,
    out: Vec<Element>,
}

impl<'a> View<'a, '_> {
    fn token(&mut self, name: &str, token: &Token) {
        let hash = token.imprint_hash();
        let covers = |f: &&&File| token.covers(hash, hash.digest(&f.1).as_ref());
        let file = self.files.iter().find(covers).map(|f| f.0.as_str());
        let fault = |e: &TspError| {
            let verdict = sealed::token_verdict(e);
            Element::new(name, Kind::Timestamp, verdict, e.code(), e.to_string())
        };
        let element = match (self.session.token(token, self.session.now), file) {
            (Err(error), _) => fault(&error),
            (Ok(()), None) if self.files.len() > 1 => fault(&TspError::OtherImprint),
            (Ok(()), None) => {
                let detail = "the token holds, but the data that it stamped is not given";
                Element::new(name, Kind::Timestamp, Verdict::Indeterminate, "data-missing", detail)
            }
            (Ok(()), Some(file)) => {
                let (time, latest) = (token.gen_time(), token.latest());
                self.cover(file, Some(Proved { time, latest, by: name.to_owned() }));
                let detail = format!("{file} existed at {}", token.gen_time());
                Element::ok(name, Kind::Timestamp, detail)
                    .by(token.authority())
                    .at(token.gen_time())
            }
        };
        self.out.push(element);
    }

    fn record(&mut self, (name, der): &File) {
        let others: Vec<_> = self.files.iter().filter(|f| f.0 != *name).copied().collect();
        let mut first_fault = None;
        for (object, bytes) in others.iter().map(|f| (&f.0, &f.1)) {
            let now = self.session.now;
            let judged = verify_record_with(der, Object::Bytes(bytes), now, |token, until| {
                self.session.token(token, until)
            });
            match judged {
                Ok(verdict) => {
                    let (time, latest) = (verdict.time, verdict.latest);
                    self.cover(object, Some(Proved { time, latest, by: name.clone() }));
                    self.out.push(records::holds(name, object, &verdict));
                    return;
                }
                Err(error @ RecordError::ObjectNotNamed { .. }) => {
                    first_fault.get_or_insert(error);
                }
                Err(error) => first_fault = Some(error),
            }
        }
        self.out.push(match first_fault {
            Some(error) => records::broken(name, &error),
            None => Element::new(
                name,
                Kind::EvidenceRecord,
                Verdict::Indeterminate,
                "object-missing",
                "the file that it covers is not given",
            ),
        });
    }

    fn seal(&mut self, (name, bytes): &'a File) {
        let opened = match open(bytes) {
            Err(SealError::Content) => self.open_beside(name, bytes),
            other => other,
        };
        let proved = self.covered.get(name.as_str()).cloned().flatten();
        match opened {
            Ok(opened) => {
                let elements = sealed::judge(self.session, name, &opened, proved.as_ref().into());
                self.out.extend(elements);
                let event = sequence::event_time(&opened.content);
                if let (Some(event), Some(proved)) = (event, proved) {
                    self.say_delay(&proved.by, event);
                }
            }
            Err(error) => self.out.push(sealed::broken(name, &error)),
        }
    }

    /// Says of the proof `by` how long after the event of what it covers it came.
    fn say_delay(&mut self, by: &str, event: Timestamp) {
        for element in self.out.iter_mut().filter(|e| e.path == by) {
            *element = element.clone().after(event);
        }
    }

    /// A detached signature: over which of the other files?
    fn open_beside(&mut self, name: &str, bytes: &[u8]) -> Result<crate::seal::Opened, SealError> {
        let mut result = Err(SealError::Content);
        for (other, content) in self.files.iter().filter(|f| f.0 != name).map(|f| (&f.0, &f.1)) {
            result = open_detached(bytes, content);
            if result.is_ok() {
                self.cover(other, None);
                break;
            }
        }
        result
    }

    fn data(&mut self, name: &str) {
        self.out.push(if self.covered.contains_key(name) {
            Element::ok(name, Kind::Document, "unchanged")
        } else {
            let detail = "nothing among the files covers it";
            Element::new(name, Kind::Document, Verdict::Indeterminate, "not-covered", detail)
        });
    }

    fn cover(&mut self, name: &str, proved: Option<Proved>) {
        let Some(file) = self.files.iter().find(|f| f.0 == name) else { return };
        let earliest = self.covered.entry(file.0.as_str()).or_default();
        if earliest
            .as_ref()
            .is_none_or(|known| proved.as_ref().is_some_and(|p| p.time < known.time))
        {
            *earliest = proved;
        }
    }
}

fn nature((name, bytes): &File) -> Nature {
    if let Ok(token) = Token::parse(bytes) {
        return Nature::Token(Box::new(token));
    }
    if let Some(token) = answer(bytes) {
        return Nature::Token(Box::new(token));
    }
    let empty = verify_record_with(bytes, Object::Bytes(&[]), Timestamp::default(), |_, _| Ok(()));
    if !matches!(empty, Err(RecordError::Malformed(_) | RecordError::TooLarge(_)))
        || ends(name, ".ers")
    {
        return Nature::Record;
    }
    if let Some(lists) = lists(name, bytes) {
        return Nature::List(lists);
    }
    match open(bytes) {
        Err(SealError::Malformed | SealError::TooLarge)
            if !ends(name, ".p7m") && !ends(name, ".p7s") =>
        {
            Nature::Data
        }
        _ => Nature::Seal,
    }
}

/// The token in a whole `TimeStampResp`.
fn answer(bytes: &[u8]) -> Option<Token> {
    let token = TimeStampResp::from_der(bytes).ok()?.token?;
    Token::parse(&token.to_der().ok()?).ok()
}

fn lists(name: &str, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    if let Ok(("X509 CRL", der)) = der::pem::decode_vec(bytes) {
        return Some(vec![der]);
    }
    let whole = ends(name, ".crl") && Signed::parse(bytes).is_ok();
    whole.then(|| vec![bytes.to_vec()])
}

fn ends(name: &str, end: &str) -> bool {
    name.to_ascii_lowercase().ends_with(end)
}

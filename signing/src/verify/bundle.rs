//! One container: first whose bytes are whole, then what they prove.
//!
//! Order of trust: the node's signature covers the manifest, the manifest every file. Where these
//! hold, a file that was changed is known by its digest. Then each record is judged with its file,
//! each seal as of the time that its record proves, and the evidence as one story.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::digest::Digest;

use super::records::Proofs;
use super::session::Session;
use super::{envelope, records, sealed, sequence};
use crate::container::zip::{self, Entry, Form};
use crate::container::{
    ContainerError, MEDIA_TYPE, MIMETYPE, Manifest, SIGNATURE, SIGNED_MANIFEST,
};
use crate::digest::sha256;
use crate::report::{Element, Kind, Verdict};
use crate::seal::{Opened, open};

/// Path of an element that is about the archive itself.
const CONTAINER: &str = "container";
/// Files that the evidence must name by digest.
const DOCUMENTS: &str = "documents/";

/// Elements whose own bytes are broken, and all others.
pub(super) type Findings = (Vec<Element>, Vec<Element>);

/// Judges a container.
pub(super) fn check(session: &mut Session<'_>, bytes: &[u8], allow_repacked: bool) -> Findings {
    let archive = match zip::read(bytes) {
        Ok(archive) => archive,
        Err(error) => return (vec![about_container(error.code(), error.to_string())], vec![]),
    };
    // A damaged archive tells its content twice; the account that holds together is the content
    let wholes: Vec<Whole<'_>> = archive.accounts.iter().map(|a| Whole::read(a)).collect();
    let Some(whole) = wholes.into_iter().min_by_key(|w| w.causes.len()) else {
        return (vec![about_container("unreadable", "it holds no account of files")], vec![]);
    };
    let packing = match archive.form {
        Form::Canonical if whole.in_order() => {
            Element::ok(CONTAINER, Kind::Document, "in canonical form")
        }
        Form::Canonical | Form::Repacked if allow_repacked => {
            Element::ok(CONTAINER, Kind::Document, "repacked, which was allowed")
        }
        Form::Canonical | Form::Repacked => about_container(
            "not-canonical",
            "the archive's own bookkeeping was changed, or it was packed again",
        ),
        Form::Damaged => damaged(archive.fault.as_ref()),
    };
    let mut causes = whole.causes.clone();
    if packing.verdict != Verdict::Valid && causes.is_empty() {
        // What no digest covers, such as certificates beside the signature, its checksum betrays
        let changed = zip::changed(bytes, whole.entries).into_iter().map(|path| {
            let detail = "its bytes are not those of its checksum";
            Element::new(path, kind_of(path), Verdict::Invalid, "changed", detail)
        });
        causes.extend(changed);
    }
    let mut others = whole.judge(session);
    match packing.verdict {
        Verdict::Valid => others.push(packing),
        // A changed file makes the archive's checksum wrong too: name the file alone
        _ if causes.is_empty() => causes.push(packing),
        _ => {}
    }
    (causes, others)
}

/// A name that no container may hold, twice the same and the like keep their own word.
fn damaged(fault: Option<&ContainerError>) -> Element {
    let why = fault.map(ToString::to_string).unwrap_or_default();
    let code = match fault {
        None | Some(ContainerError::Zip(_)) => "damaged",
        Some(fault) => fault.code(),
    };
    about_container(code, format!("the archive's bookkeeping is damaged: {why}"))
}

fn about_container(code: &str, detail: impl Into<String>) -> Element {
    Element::new(CONTAINER, Kind::Document, Verdict::Invalid, code, detail)
}

/// The files of a container and what is broken about their bytes.
struct Whole<'a> {
    entries: &'a [Entry<'a>],
    files: BTreeMap<&'a str, &'a [u8]>,
    manifest: Option<Manifest>,
    signature: Option<Opened>,
    causes: Vec<Element>,
    broken: HashSet<String>,
}

impl<'a> Whole<'a> {
    fn read(entries: &'a [Entry<'a>]) -> Self {
        let files = entries.iter().map(|e| (e.name.as_str(), e.data.as_ref())).collect();
        let (manifest, signature) = (None, None);
        let (causes, broken) = (Vec::new(), HashSet::new());
        let mut whole = Self { entries, files, manifest, signature, causes, broken };
        whole.check_mimetype();
        if whole.check_envelope() {
            whole.check_files();
        }
        whole
    }

    fn blame(&mut self, path: &str, code: &str, detail: &str) {
        self.broken.insert(path.to_owned());
        let kind = kind_of(path);
        self.causes.push(Element::new(path, kind, Verdict::Invalid, code, detail));
    }

    fn check_mimetype(&mut self) {
        match self.files.get(MIMETYPE) {
            Some(content) if *content == MEDIA_TYPE.as_bytes() => {}
            Some(_) => self.blame(MIMETYPE, "changed", "it is not that of ASiC-E"),
            None => self.blame(MIMETYPE, "missing", "the container does not say what it is"),
        }
    }

    /// The signature and the manifest under it; whether the manifest's digests can be believed
    /// enough to blame files with them.
    fn check_envelope(&mut self) -> bool {
        let Some(manifest) = self.files.get(SIGNED_MANIFEST).copied() else {
            self.blame(SIGNED_MANIFEST, "missing", "nothing says what the signature covers");
            return false;
        };
        let Some(signature) = self.files.get(SIGNATURE).copied() else {
            self.blame(SIGNATURE, "missing", "the container is not signed");
            return false;
        };
        let opened = envelope::open(signature, manifest);
        let manifest_changed = matches!(opened, Err(envelope::Fault::Manifest));
        match opened {
            Ok(opened) => self.signature = Some(opened),
            Err(envelope::Fault::Manifest) => {
                self.blame(SIGNED_MANIFEST, "changed", "it is not what was signed");
            }
            Err(envelope::Fault::Signature(code, detail)) => self.blame(SIGNATURE, code, &detail),
        }
        match Manifest::parse(manifest) {
            Ok(parsed) if parsed.signature == SIGNATURE => self.manifest = Some(parsed),
            _ if manifest_changed => {}
            Ok(_) => self.blame(SIGNED_MANIFEST, "other-signature", "it is for another signature"),
            Err(error) => self.blame(SIGNED_MANIFEST, "manifest-malformed", &error.to_string()),
        }
        self.manifest.is_some() && !manifest_changed
    }

    /// Every file is in the manifest, every file of the manifest is here, and unchanged.
    fn check_files(&mut self) {
        let Some(manifest) = self.manifest.take() else { return };
        let mut listed: HashSet<&str> = [MIMETYPE, SIGNED_MANIFEST, SIGNATURE].into();
        for object in &manifest.objects {
            if !listed.insert(&object.path) {
                self.blame(
                    SIGNED_MANIFEST,
                    "listed-twice",
                    &format!("{} is listed twice", object.path),
                );
            }
            match self.files.get(object.path.as_str()) {
                Some(bytes) if object.is_of(bytes) => {}
                Some(_) => {
                    self.blame(&object.path, "changed", "its bytes are not those that were signed")
                }
                None => self.blame(&object.path, "missing", "the manifest lists it"),
            }
        }
        for entry in self.entries {
            if !listed.contains(entry.name.as_str()) {
                self.blame(&entry.name, "unlisted", "no signature covers it");
            }
        }
        self.manifest = Some(manifest);
    }

    /// Whether the entries stand in the order of the manifest.
    fn in_order(&self) -> bool {
        let Some(manifest) = &self.manifest else { return true };
        let middle = manifest.objects.iter().map(|o| o.path.as_str());
        let expected = [MIMETYPE].into_iter().chain(middle).chain([SIGNED_MANIFEST, SIGNATURE]);
        expected.eq(self.entries.iter().map(|e| e.name.as_str()))
    }

    /// Entries as the manifest lists them, which is the order of events, however they were packed;
    /// those that it does not list at the end.
    fn in_order_of_manifest(&self) -> impl Iterator<Item = &'a Entry<'a>> {
        let objects = self.manifest.iter().flat_map(|m| &m.objects);
        let places: HashMap<&str, usize> =
            objects.enumerate().map(|(n, o)| (o.path.as_str(), n)).collect();
        let mut entries: Vec<&Entry<'_>> = self.entries.iter().collect();
        entries.sort_by_key(|e| places.get(e.name.as_str()).copied().unwrap_or(usize::MAX));
        entries.into_iter()
    }

    /// What the files prove, each file once, those that are broken left out.
    fn judge(&self, session: &mut Session<'_>) -> Vec<Element> {
        if let Some(signature) = &self.signature {
            session.learn(&signature.crls);
        }
        let intact =
            |name: &str| self.files.get(name).copied().filter(|_| !self.broken.contains(name));
        let names = || self.entries.iter().map(|e| e.name.as_str());
        let (record_elements, proofs) = records::check(session, names(), &intact);
        let mut by_path: HashMap<String, Vec<Element>> = HashMap::new();
        for element in record_elements {
            by_path.entry(element.path.clone()).or_default().push(element);
        }
        let seals = self.judge_seals(session, &proofs, &mut by_path);
        say_delays(&seals, &proofs, &mut by_path);
        self.judge_documents(&seals, &mut by_path);
        self.judge_signature(session, &proofs, &mut by_path);
        let mut out: Vec<Element> = names().filter_map(|n| by_path.remove(n)).flatten().collect();
        out.extend(by_path.into_values().flatten());
        out.extend(judge_sequence(&seals));
        out
    }

    fn judge_seals(
        &self,
        session: &mut Session<'_>,
        proofs: &Proofs,
        by_path: &mut HashMap<String, Vec<Element>>,
    ) -> Vec<(&'a str, Digest, Opened)> {
        let mut seals = Vec::new();
        for entry in self.in_order_of_manifest().filter(|e| e.name.ends_with(".p7m")) {
            let path = entry.name.as_str();
            if self.broken.contains(path) {
                continue;
            }
            let elements = match open(&entry.data) {
                Ok(opened) => {
                    let elements = sealed::judge(session, path, &opened, proofs.get(path).into());
                    seals.push((path, sha256(&entry.data), opened));
                    elements
                }
                Err(error) => vec![sealed::broken(path, &error)],
            };
            by_path.entry(path.to_owned()).or_default().splice(0..0, elements);
        }
        seals
    }

    /// Files that are no seal, record or manifest.
    fn judge_documents(
        &self,
        seals: &[(&str, Digest, Opened)],
        by_path: &mut HashMap<String, Vec<Element>>,
    ) {
        let named = sequence::named_digests(seals.iter().map(|(_, _, o)| o.content.as_slice()));
        for entry in self.entries {
            let path = entry.name.as_str();
            if self.broken.contains(path) || by_path.contains_key(path) || path == SIGNATURE {
                continue;
            }
            let element = if !path.starts_with(DOCUMENTS) {
                Element::ok(path, Kind::Document, "unchanged")
            } else if named.contains(&sha256(&entry.data)) {
                Element::ok(path, Kind::Document, "unchanged, and named by the evidence")
            } else {
                let detail = "no evidence in the bundle names its digest";
                Element::new(path, Kind::Document, Verdict::Invalid, "not-in-evidence", detail)
            };
            by_path.insert(path.to_owned(), vec![element]);
        }
    }

    fn judge_signature(
        &self,
        session: &mut Session<'_>,
        proofs: &Proofs,
        by_path: &mut HashMap<String, Vec<Element>>,
    ) {
        let Some(opened) = &self.signature else { return };
        let sealed = || self.entries.iter().filter(|e| e.name.ends_with(".p7m"));
        let proved = sealed().count() > 0 && sealed().all(|e| proofs.contains_key(&e.name));
        let proof = if proved { sealed::Proof::Unneeded } else { sealed::Proof::None };
        by_path.insert(SIGNATURE.to_owned(), envelope::judge(session, SIGNATURE, opened, proof));
    }
}

/// Says of each evidence by how much the first proof of its time came late.
fn say_delays(
    seals: &[(&str, Digest, Opened)],
    proofs: &Proofs,
    by_path: &mut HashMap<String, Vec<Element>>,
) {
    for (path, _, opened) in seals {
        let Some(event) = sequence::event_time(&opened.content) else { continue };
        // A time-stamp inside the seal stands at the seal's own path, a record at its own
        let record = proofs.get(*path).map(|proved| (proved.time, proved.by.as_str()));
        let stamp = by_path.get(*path).into_iter().flatten();
        let stamp = stamp.filter(|e| e.kind == Kind::Timestamp).filter_map(|e| e.time).min();
        let first = record.into_iter().chain(stamp.map(|time| (time, *path))).min();
        let Some(elements) = first.and_then(|(_, by)| by_path.get_mut(by)) else { continue };
        *elements = std::mem::take(elements).into_iter().map(|e| e.after(event)).collect();
    }
}

fn judge_sequence(seals: &[(&str, Digest, Opened)]) -> Vec<Element> {
    let objects: Vec<_> = seals
        .iter()
        .map(|(path, digest, opened)| sequence::Sealed {
            path,
            digest: *digest,
            content: &opened.content,
            signed: opened.signing_time,
        })
        .collect();
    sequence::check(&objects)
}

fn kind_of(path: &str) -> Kind {
    match path.rsplit('.').next() {
        Some("p7m" | "p7s") => Kind::Seal,
        Some("ers") => Kind::EvidenceRecord,
        Some("tst") => Kind::Timestamp,
        _ => Kind::Document,
    }
}

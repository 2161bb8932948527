//! Looking for plaintext where there must be none: in files, in frames, in a dump.
//!
//! A [`Marker`] is a text that occurs nowhere else. It is looked for as it may have been written by
//! whoever held it in clear: as it is, in UTF-16, in hexadecimal, in base64.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use memchr::memmem;

use crate::judges;

/// A text that occurs nowhere else.
#[derive(Clone, Debug)]
pub struct Marker {
    /// In ASCII.
    pub text: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Marker {
    /// A new one; `what` is what it begins with.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let text = format!("{what}-{}", uuid::Uuid::new_v4().simple());
        Self { forms: forms(&text), text }
    }

    /// The ways in which it is looked for.
    pub fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.forms.iter().map(|(_, bytes)| bytes.as_slice())
    }

    /// The form in which it stands in these bytes, if it does.
    #[must_use]
    pub fn stands_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let found = self.forms.iter().find(|(_, form)| memmem::find(bytes, form).is_some());
        found.map(|(name, _)| *name)
    }

    /// The files below a directory in which it stands, with its form; how many octets were read.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn below(&self, dir: &Path) -> Result<(Vec<String>, u64)> {
        let (mut found, mut read) = (Vec::new(), 0);
        for (file, bytes) in contents(dir)? {
            let written = without_end(&bytes);
            read += written.len() as u64;
            found.extend(self.stands_in(written).map(|form| format!("{}: {form}", file.display())));
        }
        Ok((found, read))
    }

    /// Whether it stands in any file below a directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn is_below(&self, dir: &Path) -> Result<bool> {
        Ok(contents(dir)?.any(|(_, bytes)| self.stands_in(without_end(&bytes)).is_some()))
    }
}

/// The files below a directory; what went away meanwhile is no file of the service any more.
fn contents(dir: &Path) -> Result<impl Iterator<Item = (PathBuf, Vec<u8>)>> {
    let files = judges::files(dir).with_context(|| dir.display().to_string())?;
    let files = files.into_iter().filter(|file| file.is_file());
    Ok(files.filter_map(|file| std::fs::read(&file).ok().map(|bytes| (file, bytes))))
}

/// Without the zeros at its end: logs and indexes are made longer than they are filled.
fn without_end(bytes: &[u8]) -> &[u8] {
    const PAGE: usize = 4096;
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let pages = bytes.chunks(PAGE).rposition(|page| Some(page) != ZEROS.get(..page.len()));
    let end = pages.map_or(0, |last| bytes.len().min((last + 1) * PAGE));
    bytes.get(..end).unwrap_or_default()
}

fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![
        ("UTF-8", text.as_bytes().to_vec()),
        ("UTF-16, little-endian", utf16.iter().flat_map(|u| u.to_le_bytes()).collect()),
        ("UTF-16, big-endian", utf16.iter().flat_map(|u| u.to_be_bytes()).collect()),
        ("upper-case hexadecimal", hex.to_uppercase().into_bytes()),
        ("hexadecimal", hex.into_bytes()),
    ];
    // Three ways, by what stands before it.
    all.extend((0..3).map(|before| ("base64", base64_after(before, text))));
    all
}

/// What is certain of the base64 of a text that `before` octets precede (RFC 4648 §4; the alphabet
/// of §5 differs in what a marker of letters and digits seldom has).
fn base64_after(before: usize, text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let octets: Vec<u8> = std::iter::repeat_n(0, before).chain(text.bytes()).collect();
    let bit = |i: usize| octets.get(i / 8).map_or(0, |octet| (octet >> (7 - i % 8)) & 1);
    let (first, end) = ((before * 8).div_ceil(6), octets.len() * 8 / 6);
    let sextets = (first..end).map(|i| (0..6).fold(0, |all, k| (all << 1) | bit(i * 6 + k)));
    sextets.filter_map(|sextet| ALPHABET.get(usize::from(sextet)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn through(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    #[test]
    fn a_marker_is_found_as_other_tools_write_it() {
        let marker = Marker::new("CONFIDENTIEL");
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{} and more", marker.text).into_bytes();
            assert_eq!(marker.stands_in(&text), Some("UTF-8"));
            let base64 = through("base64", &["-w0"], &text);
            assert_eq!(marker.stands_in(&base64), Some("base64"), "after {before:?}");
            let hex = through("od", &["-An", "-v", "-tx1", "-w4096"], &text);
            let hex: Vec<u8> = hex.into_iter().filter(|b| *b != b' ').collect();
            assert_eq!(marker.stands_in(&hex), Some("hexadecimal"));
            for wide in ["UTF-16LE", "UTF-16BE"] {
                let wide = through("iconv", &["-f", "UTF-8", "-t", wide], &text);
                assert!(marker.stands_in(&wide).unwrap().starts_with("UTF-16"));
            }
        }
        assert_eq!(marker.stands_in(Marker::new("CONFIDENTIEL").text.as_bytes()), None);
    }

    #[test]
    fn files_are_found_at_any_depth() {
        let (marker, dir) = (Marker::new("CONTROL"), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/none"), "nothing").unwrap();
        let mut filled = format!("..{}..", marker.text).into_bytes();
        filled.resize(3 * 4096 + 7, 0);
        std::fs::write(dir.path().join("a/b/it"), filled).unwrap();
        let (found, read) = marker.below(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert!(marker.is_below(dir.path()).unwrap());
        assert!(found[0].ends_with("a/b/it: UTF-8") && read > 7, "{found:?} {read}");
    }
}

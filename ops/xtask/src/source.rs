//! Just enough of Rust's lexis to find where functions begin and end: comments, strings and
//! character literals are blanked, then braces are matched. No parser: it must read any file,
//! also one that does not compile today.

use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// 1-based line of the `fn` keyword.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

/// Files of the repository with this extension, tracked or new, without the ignored ones.
///
/// # Errors
/// When git cannot list them.
pub(crate) fn files(root: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    listed(root, &[&format!("*.{extension}")])
}

/// Shell scripts: files of `ops/` and `.ci/` that begin as such.
///
/// # Errors
/// When git cannot list them.
pub(crate) fn scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = listed(root, &["ops", ".ci", "tests", "*.sh"])?;
    files.retain(|file| begins_as_script(file));
    Ok(files)
}

fn begins_as_script(file: &Path) -> bool {
    let Ok(opened) = std::fs::File::open(file) else { return false };
    let mut line = String::new();
    // A file that is not text is no script.
    let read = std::io::BufReader::new(opened.take(128)).read_line(&mut line);
    read.is_ok() && line.starts_with("#!") && line.trim_end().ends_with("sh")
        || file.extension().is_some_and(|extension| extension == "sh")
}

fn listed(root: &Path, patterns: &[&str]) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"])
        .args(patterns)
        .current_dir(root)
        .output()
        .context("git does not start")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let listed = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut files: Vec<PathBuf> =
        listed.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name)).collect();
    files.retain(|file| file.is_file()); // one that was deleted is still in the index
    files.sort();
    files.dedup();
    Ok(files)
}

/// The text with comments, strings and characters replaced by blanks; lines stay lines.
pub(crate) fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest);
        if length == 0 {
            // A word goes whole, so that the r of `for"` opens no raw string.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (kept, after) = rest.split_at(word.max(first.len_utf8()));
            out.push_str(kept);
            rest = after;
        } else {
            let (gone, after) = rest.split_at(length);
            out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    out
}

/// Functions with a body, in the order of their beginnings; `code` is blanked text.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + 3..).unwrap_or_default();
        let is_word = before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !is_word || name.is_empty() {
            continue;
        }
        if let Some(body) = body_length(after) {
            let lines = after.get(..body).unwrap_or_default().matches('\n').count() + 1;
            found.push(Function { name, line: before.matches('\n').count() + 1, lines });
        }
    }
    found
}

/// 1-based line from which a file holds tests only, if it does; `code` is blanked text.
pub(crate) fn tests_from(code: &str) -> Option<usize> {
    let mut lines = code.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let next = lines.peek().map_or("", |(_, next)| next.trim());
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            return Some(number + 1);
        }
    }
    None
}

/// Length in bytes of the comment or literal at the beginning of `rest`; 0 if there is none.
fn blank_length(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let unprefixed = rest.trim_start_matches('b').trim_start_matches('c');
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw.get(hashes..).is_some_and(|quoted| quoted.starts_with('"')) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix + 1 + hashes + 1;
            let body = rest.get(start..).unwrap_or_default();
            return body.find(&end).map_or(rest.len(), |at| start + at + end.len());
        }
        return 0;
    }
    match unprefixed.chars().next() {
        Some('"') => prefix + quoted(unprefixed, '"'),
        Some('\'') if is_character(unprefixed) => prefix + quoted(unprefixed, '\''),
        _ => 0,
    }
}

/// Block comments nest in Rust.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(here) = rest.as_bytes().get(at..) {
        if here.is_empty() {
            break;
        }
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of the literal at the beginning of `text`, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_character(text: &str) -> bool {
    let mut after = text.chars().skip(1);
    after.next() == Some('\\') || after.next() == Some('\'')
}

/// From the name of a function to the brace that closes its body; none for a mere declaration.
fn body_length(after: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, c) in after.char_indices() {
        match c {
            '(' | '[' if braces == 0 => brackets += 1,
            ')' | ']' if braces == 0 => brackets = brackets.checked_sub(1)?,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' if brackets == 0 => braces += 1,
            '}' if brackets == 0 => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: &str) -> Vec<(String, usize, usize)> {
        functions(&blanked(code)).into_iter().map(|f| (f.name, f.line, f.lines)).collect()
    }

    #[test]
    fn finds_functions_and_counts_their_lines() {
        let code =
            "fn a() { 1 }\n\nimpl X {\n    fn b(&self) -> [u8; 2] {\n        [1, 2]\n    }\n}\n";
        assert_eq!(named(code), [("a".into(), 1, 1), ("b".into(), 4, 3)]);
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        let code = "fn a() {\n let x = \"}\"; let y = '}'; let z = r#\"}\"}\"#; // }\n /* } /* } */ } */\n}\n";
        assert_eq!(named(code), [("a".into(), 1, 4)]);
    }

    #[test]
    fn lifetimes_are_not_characters() {
        let code = "fn a<'a>(x: &'a str) -> &'a str {\n    x\n}\nfn b() {}\n";
        assert_eq!(named(code), [("a".into(), 1, 3), ("b".into(), 4, 1)]);
    }

    #[test]
    fn declarations_and_function_types_are_no_functions() {
        let code = "trait T {\n    fn a(&self) -> [u8; 2];\n}\nstruct S { f: fn (u8) }\n";
        assert_eq!(named(code), []);
    }

    #[test]
    fn nested_functions_are_counted_both() {
        let code = "fn a() {\n    fn b() {\n    }\n}\n";
        assert_eq!(named(code), [("a".into(), 1, 4), ("b".into(), 2, 2)]);
    }

    #[test]
    fn a_file_that_does_not_end_its_literals_is_read_to_its_end() {
        assert_eq!(blanked("a \"bc"), "a    ");
        assert_eq!(blanked("a /* bc"), "a      ");
        assert_eq!(named("fn a() {"), []);
    }

    #[test]
    fn the_line_where_tests_begin() {
        assert_eq!(tests_from("fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), Some(3));
        assert_eq!(tests_from("#[cfg(test)]\nmod tests;\nfn a() {}\n"), None);
    }
}

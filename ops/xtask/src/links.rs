//! Relative links in Markdown lead to a file that exists. Links to the web are not followed: a
//! check must not depend on a network.

use std::path::Path;

use anyhow::{Context, Result};

use crate::source;

/// Returns one line for each link that leads nowhere.
///
/// # Errors
/// When the files cannot be listed or read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in source::files(root, "md")? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let folder = path.parent().unwrap_or(root);
        let name = path.strip_prefix(root).unwrap_or(&path).display();
        for (line, target) in targets(&text) {
            // A slash at the beginning is the repository's root.
            let file = match target.strip_prefix('/') {
                Some(absolute) => root.join(absolute),
                None => folder.join(target),
            };
            if !file.exists() {
                findings.push(format!("{name}:{line}: {target} does not exist"));
            }
        }
    }
    Ok(findings)
}

/// Line and target of each relative link `[..](target)`; fragments and code blocks left out.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for after in line.split("](").skip(1) {
            let target = after.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                found.push((number + 1, target));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_are_followed() {
        let text =
            "[a](b.md) and [c](d/e.md#part)\n```\n[x](y)\n```\n[w](https://w.example) [f](#g)\n";
        assert_eq!(targets(text), [(1, "b.md"), (1, "d/e.md")]);
    }

    #[test]
    fn a_link_to_nothing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::process::Command::new("git").arg("init").arg("-q").arg(dir.path()).status().unwrap();
        std::fs::write(dir.path().join("a.md"), "see\n[b](b.md)\n[c](c.md)\n").unwrap();
        std::fs::write(dir.path().join("b.md"), "").unwrap();
        assert_eq!(check(dir.path()).unwrap(), ["a.md:3: c.md does not exist"]);
    }
}

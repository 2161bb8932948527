//! The size of files and functions: nothing over 600 and 80 lines, and the figures beside our aims
//! (production code: files at most 150 in the middle and 450 at the 95th percentile, functions 8
//! and 45). Limits hold for tests too; the figures are of production code.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source::{self, Function};

const FILE_LIMIT: usize = 600;
const FUNCTION_LIMIT: usize = 80;

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Lines of each file, its tests left out.
    files: Vec<usize>,
    /// Lines of each function outside tests.
    functions: Vec<usize>,
    code_lines: usize,
    comment_lines: usize,
    test_lines: usize,
    findings: Vec<String>,
}

/// Measures all Rust files of the repository.
///
/// # Errors
/// When they cannot be listed or read.
pub(crate) fn measure(root: &Path) -> Result<Measured> {
    let mut measured = Measured::default();
    for path in source::files(root, "rs")? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        measured.add(&name, &text);
    }
    measured.files.sort_unstable();
    measured.functions.sort_unstable();
    Ok(measured)
}

impl Measured {
    /// One line for each file and function that is too long.
    pub(crate) fn findings(self) -> Vec<String> {
        self.findings
    }

    fn add(&mut self, name: &str, text: &str) {
        let code = source::blanked(text);
        let total = text.lines().count();
        if total > FILE_LIMIT {
            self.findings.push(format!("{name}: {total} lines, at most {FILE_LIMIT}"));
        }
        let tests_from =
            if is_test_file(name) { 1 } else { source::tests_from(&code).unwrap_or(total + 1) };
        if tests_from > 1 {
            self.files.push(tests_from - 1);
        }
        for function in source::functions(&code) {
            self.add_function(name, &function, tests_from);
        }
        self.add_lines(text, tests_from);
    }

    fn add_function(&mut self, file: &str, function: &Function, tests_from: usize) {
        let Function { name, line, lines } = function;
        if *lines > FUNCTION_LIMIT {
            self.findings
                .push(format!("{file}:{line}: fn {name}: {lines} lines, at most {FUNCTION_LIMIT}"));
        }
        if *line < tests_from {
            self.functions.push(*lines);
        }
    }

    fn add_lines(&mut self, text: &str, tests_from: usize) {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            if number + 1 >= tests_from {
                self.test_lines += 1;
            } else if line.starts_with("//") {
                self.comment_lines += 1;
            } else {
                self.code_lines += 1;
            }
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, functions) = (&self.files, &self.functions);
        writeln!(
            f,
            "files     {:>5}   median {:>3}   p95 {:>3}   longest {:>3}",
            files.len(),
            percentile(files, 50),
            percentile(files, 95),
            percentile(files, 100)
        )?;
        writeln!(
            f,
            "functions {:>5}   median {:>3}   p95 {:>3}   longest {:>3}",
            functions.len(),
            percentile(functions, 50),
            percentile(functions, 95),
            percentile(functions, 100)
        )?;
        let share = 100 * self.comment_lines / (self.comment_lines + self.code_lines).max(1);
        write!(
            f,
            "lines     {:>5} code, {} comments ({share} %), {} tests",
            self.code_lines, self.comment_lines, self.test_lines
        )
    }
}

/// The crate `tests` and the `tests/` and `benches/` folders of the others hold tests only.
fn is_test_file(name: &str) -> bool {
    let mut folders = name.split('/');
    folders.any(|folder| folder == "tests" || folder == "benches" || folder == "fuzz")
        || name.ends_with("/tests.rs")
        || name.ends_with("/conformance.rs")
}

/// Nearest rank; 0 for an empty list. `sorted` is in ascending order.
fn percentile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, text: &str) -> Measured {
        let mut measured = Measured::default();
        measured.add(name, text);
        measured
    }

    #[test]
    fn this_repository_is_measured() {
        let measured = measure(&crate::root().unwrap()).unwrap();
        assert!(measured.files.len() > 10 && measured.functions.len() > 100, "{measured}");
    }

    #[test]
    fn a_function_of_81_lines_is_named() {
        let text = format!("fn long() {{\n{}}}\n", "    call();\n".repeat(79));
        assert_eq!(
            measured("a/src/b.rs", &text).findings,
            ["a/src/b.rs:1: fn long: 81 lines, at most 80"]
        );
        let text = format!("fn fits() {{\n{}}}\n", "    call();\n".repeat(78));
        assert!(measured("a/src/b.rs", &text).findings.is_empty());
    }

    #[test]
    fn a_file_of_601_lines_is_named_tests_or_not() {
        let text = "//\n".repeat(601);
        assert_eq!(measured("tests/src/b.rs", &text).findings.len(), 1);
        assert!(measured("tests/src/b.rs", &"//\n".repeat(600)).findings.is_empty());
    }

    #[test]
    fn figures_leave_tests_out() {
        let text = "// why\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let measured = measured("a/src/b.rs", text);
        assert_eq!((measured.files, measured.functions), (vec![3], vec![1]));
        assert_eq!((measured.code_lines, measured.comment_lines, measured.test_lines), (1, 1, 4));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sorted: Vec<usize> = (1..=100).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 95)), (50, 95));
        assert_eq!((percentile(&[7], 50), percentile(&[], 50)), (7, 0));
    }
}

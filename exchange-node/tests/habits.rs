//! The habits of the command line: version, help, usage, completions, manual, exit codes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)]

use std::process::{Command, Output};

fn pli(args: &[&str]) -> Output {
    in_language("en", args)
}

fn in_language(lang: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pli"))
        .args(args)
        .env("PLI_LANG", lang)
        .env_remove("PLI_CONFIG")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn version_is_data() {
    let plain = pli(&["version"]);
    assert_eq!(out(&plain), format!("pli {}\n", env!("CARGO_PKG_VERSION")));
    let json: serde_json::Value = serde_json::from_str(&out(&pli(&["version", "--json"]))).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["backbones"][0], "embedded");
}

#[test]
fn wrong_usage_is_two_and_help_is_zero() {
    for wrong in [&[][..], &["nonsense"], &["version", "--nonsense"], &["config", "check"]] {
        let output = pli(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(out(&output).is_empty(), "{wrong:?}: talk goes to stderr");
        assert!(!err(&output).is_empty(), "{wrong:?}");
    }
    let help = pli(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(out(&help).contains("Usage:"));
}

#[test]
fn help_speaks_french() {
    let help = out(&in_language("fr", &["config", "check", "--help"]));
    assert!(help.contains("Utilisation :") && help.contains("Fichier de configuration"), "{help}");
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = pli(&["completions", shell]);
        assert!(output.status.success());
        assert!(out(&output).contains("completions"), "{shell}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pli(&["completions", "bash"]).stdout).unwrap();
    let checked = Command::new("bash").arg("-n").arg(file.path()).status().unwrap();
    assert!(checked.success(), "bash reads its own script");
}

#[test]
fn manual_pages_for_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    assert!(pli(&["man", dir.path().to_str().unwrap()]).status.success());
    for page in ["pli.1", "pli-config.1", "pli-config-check.1"] {
        let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}

#[test]
fn an_unreadable_configuration_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    let path = file.to_str().unwrap();
    let absent = pli(&["config", "check", "--config", path]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(err(&absent).contains(path));

    std::fs::write(&file, "[node]\nid = \"a\"\nsurprise = 1\n").unwrap();
    let unknown = pli(&["config", "check", "--config", path]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(err(&unknown).contains("surprise"), "{}", err(&unknown));
}

#[test]
fn a_reader_who_left_is_no_fault() {
    let script = format!(
        "{} completions bash | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_pli")
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(out(&output).trim(), "0", "{}", err(&output));
}

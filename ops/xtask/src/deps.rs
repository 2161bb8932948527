//! The direction of dependencies between the rooms, as `ops/ARCHITECTURE.md` draws it:
//!
//! ```text
//! schemas <- { signing, broker-adapter, exchange-core } <- exchange-store (core and schemas only)
//!         <- exchange-node <- tests
//! ```
//!
//! The second table names crates of others that one room must never see: the core stays pure, and
//! a release candidate stays where it can be replaced (ADR 0002, ADR 0011). Test-only dependencies
//! are free of the second table, not of the first.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Each room and the rooms that it may see.
const ROOMS: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("signing", &["schemas"]),
    ("broker-adapter", &["schemas"]),
    ("exchange-core", &["schemas"]),
    ("exchange-store", &["schemas", "exchange-core"]),
    ("exchange-node", &["schemas", "signing", "broker-adapter", "exchange-core", "exchange-store"]),
    (
        "tests",
        &[
            "schemas",
            "signing",
            "broker-adapter",
            "exchange-core",
            "exchange-store",
            "exchange-node",
        ],
    ),
    ("xtask", &[]),
];

/// What a room must not see of the outside world, and why.
const BANNED: &[(&str, &[&str], &str)] = &[
    (
        "schemas",
        &["tokio", "sqlx", "reqwest", "rand", "aws-lc-rs"],
        "the paper does no I/O and no cryptography",
    ),
    (
        "exchange-core",
        &["tokio", "futures", "async-trait", "sqlx", "reqwest", "rand", "tracing"],
        "the law is pure and synchronous (ADR 0002)",
    ),
    ("exchange-store", &["reqwest", "cms", "lapin", "rdkafka"], "the archive only keeps"),
    ("exchange-core", &["cms", "der", "x509-cert"], "cms is confined to signing (ADR 0011)"),
    ("exchange-node", &["cms"], "cms is confined to signing (ADR 0011)"),
    ("broker-adapter", &["cms"], "cms is confined to signing (ADR 0011)"),
    ("schemas", &["cms"], "cms is confined to signing (ADR 0011)"),
];

/// The part of `cargo metadata` that is read here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `null` for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
    /// Present for a crate of this workspace.
    path: Option<String>,
}

/// Returns one line for each edge that points the wrong way; empty when all is well.
///
/// # Errors
/// When `cargo metadata` cannot be run or read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")?;
    Ok(offending(&metadata))
}

fn offending(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().flat_map(offending_in).collect()
}

fn offending_in(package: &Package) -> Vec<String> {
    let room = package.name.as_str();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{room}: no such room; add it to ops/xtask/src/deps.rs with an ADR")];
    };
    let wrong_way = package
        .dependencies
        .iter()
        // A room may see itself: its tests switch on features that its users do without.
        .filter(|to| to.path.is_some() && to.name != room && !allowed.contains(&to.name.as_str()))
        .map(|to| format!("{room} -> {}: points the wrong way, see ops/ARCHITECTURE.md", to.name));
    let banned = BANNED.iter().filter(|(name, ..)| *name == room).flat_map(|(_, crates, why)| {
        let seen = package
            .dependencies
            .iter()
            .filter(|to| to.kind.as_deref() != Some("dev") && crates.contains(&to.name.as_str()));
        seen.map(move |to| format!("{room} -> {}: {why}", to.name))
    });
    wrong_way.chain(banned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of one room with one dependency.
    fn workspace(room: &str, to: &str, kind: Option<&str>, path: Option<&str>) -> Metadata {
        serde_json::from_value(serde_json::json!({ "packages": [{
            "name": room,
            "dependencies": [{ "name": to, "kind": kind, "path": path }],
        }] }))
        .unwrap()
    }

    #[test]
    fn the_rooms_of_this_workspace_point_the_right_way() {
        let root = crate::root().unwrap();
        assert_eq!(check(&root).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_edge_between_rooms_that_never_see_each_other_is_named() {
        let found = offending(&workspace("signing", "broker-adapter", None, Some("/x")));
        assert_eq!(
            found,
            ["signing -> broker-adapter: points the wrong way, see ops/ARCHITECTURE.md"]
        );
    }

    #[test]
    fn a_test_only_edge_between_rooms_is_an_edge_too() {
        let found = offending(&workspace("schemas", "signing", Some("dev"), Some("/x")));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn an_allowed_edge_passes() {
        assert!(
            offending(&workspace("exchange-store", "exchange-core", None, Some("/x"))).is_empty()
        );
        assert!(offending(&workspace("exchange-core", "serde", None, None)).is_empty());
    }

    #[test]
    fn a_room_may_switch_on_its_own_features_for_its_tests() {
        let itself = workspace("broker-adapter", "broker-adapter", Some("dev"), Some("/x"));
        assert!(offending(&itself).is_empty());
    }

    #[test]
    fn the_core_sees_no_runtime_but_its_tests_may() {
        assert_eq!(offending(&workspace("exchange-core", "tokio", None, None)).len(), 1);
        assert!(offending(&workspace("exchange-core", "tokio", Some("dev"), None)).is_empty());
    }

    #[test]
    fn a_room_that_is_not_on_the_plan_is_refused() {
        assert_eq!(offending(&workspace("attic", "serde", None, None)).len(), 1);
    }
}

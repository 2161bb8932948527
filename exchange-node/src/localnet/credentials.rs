//! What brokers that know their nodes have given them: `--backbone-pki [NAME=]DIR`.
//!
//! ```text
//! DIR/ca.pem                   the authority of the broker
//! DIR/NODE/certificate.pem     who the node is to the broker
//! DIR/NODE/key.pem
//! ```
//!
//! So does `ops/services/rabbitmq grant` and `ops/services/kafka grant` leave it in `nodes/`, and an
//! operator who admits nodes by other means lays it out the same way. Each node gets copies of its
//! own below its directory, as it would on a machine of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemas::ids::NodeId;

use super::ground::by_name;
use super::network::Unfit;
use super::topology::Topology;
use crate::files;

/// The three files of one road, relative to the directory of the node.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// The authority of the broker.
    pub(super) ca_file: PathBuf,
    /// The node's certificate.
    pub(super) certificate: PathBuf,
    /// Its key.
    pub(super) key: PathBuf,
}

/// The directory for each backbone that has one.
///
/// # Errors
/// A name or a directory that is not there, or a backbone that is no broker.
pub(super) fn read(
    said: &[String],
    backbones: &BTreeMap<String, String>,
    topology: &Topology,
) -> Result<BTreeMap<String, PathBuf>, Unfit> {
    let mut all = BTreeMap::new();
    for (name, dir) in by_name(said, topology, "--backbone-pki NAME=DIR")? {
        if backbones.get(&name).is_none_or(|url| url == "embedded") {
            return Err(Unfit(format!("{name} is no broker that could know its nodes")));
        }
        let nodes = topology.node.iter().filter(|node| node.backbones.contains(&name));
        let theirs = nodes.flat_map(|n| ["certificate.pem", "key.pem"].map(|f| (n, f)));
        let files = theirs.map(|(node, file)| Path::new(node.id.as_str()).join(file));
        let dir = PathBuf::from(dir);
        let files = files.chain([PathBuf::from("ca.pem")]).map(|file| dir.join(file));
        if let Some(missing) = files.into_iter().find(|file| !file.is_file()) {
            return Err(Unfit(format!("{} is not there: was it granted?", missing.display())));
        }
        let dir = dir.canonicalize().map_err(|e| Unfit(format!("{}: {e}", dir.display())))?;
        all.insert(name, dir);
    }
    let urls: Vec<&String> = all.keys().filter_map(|name| backbones.get(name)).collect();
    if urls.iter().enumerate().any(|(i, url)| urls.iter().skip(i + 1).any(|u| u == url)) {
        // Lanes have the names that were granted, so nothing would keep the two apart.
        return Err(Unfit("two backbones cannot be one broker that knows its nodes".to_owned()));
    }
    Ok(all)
}

/// Copies what a node was given into its directory; `road` names the files where it has several.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn install(
    dir: &Path,
    node: &NodeId,
    home: &Path,
    road: Option<&str>,
) -> anyhow::Result<Credentials> {
    let name = |end: &str| {
        let road = road.map(|road| format!("-{road}")).unwrap_or_default();
        Path::new("keys").join(format!("backbone{road}{end}"))
    };
    let mine = dir.join(node.as_str());
    let own =
        Credentials { ca_file: name("-ca.pem"), certificate: name(".pem"), key: name(".key") };
    files::directory(&home.join("keys"))?;
    files::write_public(&home.join(&own.ca_file), &files::read(&dir.join("ca.pem"))?)?;
    files::write_public(
        &home.join(&own.certificate),
        &files::read(&mine.join("certificate.pem"))?,
    )?;
    files::write_private(&home.join(&own.key), &files::read(&mine.join("key.pem"))?)?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_granted_is_named() {
        let topology = Topology::built_in().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let said = [dir.path().display().to_string()];
        let url = |url: &str| BTreeMap::from([("national".to_owned(), url.to_owned())]);
        let why = |url: &BTreeMap<String, String>| read(&said, url, &topology).unwrap_err().0;
        assert!(why(&url("embedded")).contains("no broker"));
        let broker = url("amqps://localhost:5671/%2f");
        assert!(why(&broker).contains("etat/certificate.pem"), "{}", why(&broker));
        for node in ["etat", "cd-34"] {
            std::fs::create_dir(dir.path().join(node)).unwrap();
            for file in ["certificate.pem", "key.pem"] {
                std::fs::write(dir.path().join(node).join(file), file).unwrap();
            }
        }
        assert!(why(&broker).contains("ca.pem"), "{}", why(&broker));
        std::fs::write(dir.path().join("ca.pem"), "ca").unwrap();
        assert_eq!(read(&said, &broker, &topology).unwrap().len(), 1);
        let home = tempfile::tempdir().unwrap();
        let own = install(dir.path(), &"etat".parse().unwrap(), home.path(), None).unwrap();
        assert_eq!(own.key, Path::new("keys/backbone.key"));
        use std::os::unix::fs::PermissionsExt as _;
        let mode = home.path().join(&own.key).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
}

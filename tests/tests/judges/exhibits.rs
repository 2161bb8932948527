//! Exhibits: proof bundles of real networks, made once for all tests that have them judged; which
//! there are is said in `collect`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use signing::trust::Anchors;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::collect;
use tests::judges::{self, Recorded};

/// One bundle and the evidence in it.
#[derive(Debug)]
pub(crate) struct Exhibit {
    /// What happened to the message.
    pub(crate) name: &'static str,
    /// The bundle.
    pub(crate) bundle: Vec<u8>,
    /// Its evidence in the XML of ETSI, as the node gives it.
    pub(crate) xml: Vec<Vec<u8>>,
}

/// All bundles, and whom to trust.
#[derive(Debug)]
pub(crate) struct Exhibits {
    /// Anchors of seals, PEM, one for each network.
    pub(crate) roots: Vec<Vec<u8>>,
    /// Anchors of time-stamps, likewise.
    pub(crate) tsas: Vec<Vec<u8>>,
    /// The bundles.
    pub(crate) all: Vec<Exhibit>,
}

static MADE: OnceCell<Exhibits> = OnceCell::const_new();

/// The exhibits of this test run.
///
/// # Errors
/// The network does not do what it should.
pub(crate) async fn exhibits() -> Result<&'static Exhibits> {
    MADE.get_or_try_init(collect::all).await
}

impl Exhibits {
    /// A bundle by name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn of(&self, name: &str) -> Result<&Exhibit> {
        self.all.iter().find(|e| e.name == name).context("no such exhibit")
    }

    /// The anchors of `pli verify`.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn anchors(&self) -> Result<Anchors> {
        let mut anchors = Anchors::none();
        for pem in self.roots.iter().chain(&self.tsas) {
            anchors.extend(&Anchors::from_pem(pem)?);
        }
        Ok(anchors)
    }

    /// Everything as files, bundles also unpacked.
    ///
    /// # Errors
    /// They cannot be written, or `unzip` finds fault with a bundle.
    pub(crate) fn room(&self) -> Result<Room> {
        let home = tempfile::tempdir()?;
        let put = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
            let file = home.path().join(name);
            std::fs::write(&file, bytes)?;
            Ok(file)
        };
        let (root, tsa) =
            (put("root.pem", &self.roots.concat())?, put("tsa.pem", &self.tsas.concat())?);
        let each = self.roots.iter().chain(&self.tsas).enumerate();
        let anchors: Result<_> =
            each.map(|(n, pem)| put(&format!("anchor-{n}.pem"), pem)).collect();
        let (mut bundles, mut xml) = (Vec::new(), Vec::new());
        for exhibit in &self.all {
            let bundle = put(&format!("{}.asice", exhibit.name), &exhibit.bundle)?;
            judges::unzip(&bundle, &bundle.with_extension("d"))?;
            bundles.push(bundle);
            for (n, evidence) in exhibit.xml.iter().enumerate() {
                xml.push(put(&format!("{}-{n}.xml", exhibit.name), evidence)?);
            }
        }
        Ok(Room { home, root, tsa, anchors: anchors?, bundles, xml })
    }
}

/// The exhibits on the table of a judge.
#[derive(Debug)]
pub(crate) struct Room {
    home: TempDir,
    /// Anchors of seals.
    pub(crate) root: PathBuf,
    /// Anchors of time-stamps.
    pub(crate) tsa: PathBuf,
    /// All of them, one a file.
    pub(crate) anchors: Vec<PathBuf>,
    /// `delivered.asice` and so on; unpacked beside it as `delivered.d`.
    pub(crate) bundles: Vec<PathBuf>,
    /// Evidence in XML.
    pub(crate) xml: Vec<PathBuf>,
}

impl Room {
    /// Where a judge may write.
    pub(crate) fn dir(&self) -> &Path {
        self.home.path()
    }

    /// Unpacked files of all bundles with this ending.
    ///
    /// # Errors
    /// They cannot be listed.
    pub(crate) fn unpacked(&self, ending: &str) -> Result<Vec<PathBuf>> {
        let mut out = Vec::new();
        for bundle in &self.bundles {
            out.extend(judges::files(&bundle.with_extension("d"))?);
        }
        out.retain(|file| file.to_string_lossy().ends_with(ending));
        Ok(out)
    }

    /// All evidence records, as their manifests tie them to objects.
    ///
    /// # Errors
    /// A manifest names other than one record and one object.
    pub(crate) fn records(&self) -> Result<Vec<Recorded>> {
        let mut out = Vec::new();
        for bundle in &self.bundles {
            let base = bundle.with_extension("d");
            for file in judges::files(&base.join("META-INF"))? {
                if !file.to_string_lossy().contains("ASiCEvidenceRecordManifest") {
                    continue;
                }
                let xml = std::fs::read_to_string(&file)?;
                let names: Vec<&str> =
                    xml.split(" URI=\"").skip(1).filter_map(|x| x.split('"').next()).collect();
                let [record, object] = names.as_slice() else {
                    anyhow::bail!("{}: {names:?}", file.display());
                };
                out.push(Recorded { record: base.join(record), object: base.join(object) });
            }
        }
        Ok(out)
    }
}

//! `pli authority init|enrol|publish|revoke`: the central authority of a network.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use schemas::directory::Scope;
use schemas::ids::{NodeId, Siren};
use serde_json::json;
use signing::authority::RevocationReason;

use super::{Call, Failure, Text, text};
use crate::authority::{CentralAuthority, Enrolment};
use crate::clock::{self, Clock as _};
use crate::files;

/// `pli authority`
#[derive(Debug, Subcommand)]
pub(super) enum AuthorityVerb {
    /// Make a new authority: keys, anchors of trust, seal of the lists
    Init(InitArgs),
    /// Certify the keys of a node and put it into the list
    Enrol(EnrolArgs),
    /// Seal the list of nodes and the catalogue anew, and refresh the revocation lists
    Publish(DirArgs),
    /// Revoke certificates of a node; without a seal left it is closed in the list
    Revoke(RevokeArgs),
}

/// `pli authority publish`
#[derive(Debug, Args)]
pub(super) struct DirArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// `pli authority init`
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name of the network, as it stands in certificates
    #[arg(long, default_value = "Pli")]
    name: String,
    /// Where the published files will be found; it stands in every certificate
    #[arg(long, value_name = "URL", default_value = "http://pki.pli.example")]
    base_url: String,
}

/// `pli authority enrol`
#[derive(Debug, Args)]
pub(super) struct EnrolArgs {
    /// Id of the node, a DNS label
    node: NodeId,
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Who runs the node
    #[arg(long)]
    operator: String,
    /// SIREN of the operator
    #[arg(long)]
    siren: Option<Siren>,
    /// Request (PKCS#10) or public key of the seal, PEM
    #[arg(long, value_name = "FILE")]
    seal: PathBuf,
    /// Request (PKCS#10) or public key of the encryption, PEM
    #[arg(long, value_name = "FILE")]
    encryption: PathBuf,
    /// Backbone that the node is attached to; may be repeated
    #[arg(long = "backbone", value_name = "NAME", default_value = "national")]
    backbones: Vec<String>,
    /// The node through which it is reached when no backbone is shared
    #[arg(long, value_name = "NODE")]
    via: Option<NodeId>,
    /// Department whose communes it may host; may be repeated
    #[arg(long = "department", value_name = "CODE")]
    departments: Vec<String>,
    /// SIREN that it may host; may be repeated
    #[arg(long = "hosts", value_name = "SIREN")]
    sirens: Vec<Siren>,
    /// It may host any member
    #[arg(long)]
    any: bool,
}

/// `pli authority revoke`
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Id of the node
    node: NodeId,
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Only the certificate with this serial number (hexadecimal)
    #[arg(long, value_name = "HEX")]
    serial: Option<String>,
    /// Why
    #[arg(long, value_enum, default_value = "unspecified")]
    reason: Reason,
}

/// RFC 5280 §5.3.1.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
}

const MADE: Text = text(
    "Authority made in {0}. Its private keys lie there: keep that directory offline.",
    "Autorité créée dans {0}. Ses clés privées s'y trouvent : gardez ce répertoire hors ligne.",
);
const TRUST: Text = text("What everybody trusts: {0}", "Ce à quoi chacun se fie : {0}");
const ENROLLED: Text = text(
    "{0} is certified. Give it {1}, then `pli authority publish`.",
    "{0} est certifié. Remettez-lui {1}, puis `pli authority publish`.",
);
const PUBLISHED: Text = text(
    "Lists number {0} in {1}: {2} node(s), {3} process(es), until {4}.",
    "Listes numéro {0} dans {1} : {2} nœud(s), {3} démarche(s), jusqu'au {4}.",
);
const REVOKED: Text = text(
    "Revoked: {0}. It takes effect with `pli authority publish`.",
    "Révoqué : {0}. Cela prend effet avec `pli authority publish`.",
);

pub(super) fn run(verb: AuthorityVerb, call: &Call) -> anyhow::Result<()> {
    match verb {
        AuthorityVerb::Init(args) => init(&args, call),
        AuthorityVerb::Enrol(args) => enrol(args, call),
        AuthorityVerb::Publish(args) => publish(&args, call),
        AuthorityVerb::Revoke(args) => revoke(&args, call),
    }
}

fn init(args: &InitArgs, call: &Call) -> anyhow::Result<()> {
    let now = clock::system().now();
    let mut authority = CentralAuthority::init(&args.dir, &args.name, &args.base_url, now)?;
    authority.enrol_tsa(&args.dir.join("tsa"), &format!("{} - TSA", args.name), now)?;
    let published = authority.publish(now)?;
    let trust = ["trust/root.pem", "trust/tsa.pem"].map(|f| args.dir.join(f));
    if call.screen.json {
        return call
            .screen
            .object(&json!({ "dir": args.dir, "trust": trust, "published": published }));
    }
    call.screen.tell(MADE, &[&args.dir.display()]);
    for anchor in &trust {
        call.screen.tell(TRUST, &[&anchor.display()]);
    }
    Ok(())
}

fn enrol(args: EnrolArgs, call: &Call) -> anyhow::Result<()> {
    let key = |file: &PathBuf| -> anyhow::Result<Vec<u8>> {
        signing::request::public_key(&files::read(file)?)
            .with_context(|| file.display().to_string())
    };
    let asked = Enrolment {
        operator: args.operator,
        siren: args.siren,
        seal_spki: key(&args.seal)?,
        encryption_spki: key(&args.encryption)?,
        backbones: args.backbones,
        via: args.via,
        scope: Scope { departments: args.departments, sirens: args.sirens, any: args.any },
        node: args.node,
    };
    let mut authority = CentralAuthority::open(&args.dir)?;
    authority.enrol(&asked, clock::system().now())?;
    let dir = args.dir.join("nodes").join(asked.node.as_str());
    let (seal, encryption) = (dir.join("seal.pem"), dir.join("encryption.pem"));
    if call.screen.json {
        let answer =
            json!({ "node": asked.node, "seal_chain": seal, "encryption_certificate": encryption });
        return call.screen.object(&answer);
    }
    let files = format!("{}, {}", seal.display(), encryption.display());
    call.screen.tell(ENROLLED, &[&asked.node, &files]);
    Ok(())
}

fn publish(args: &DirArgs, call: &Call) -> anyhow::Result<()> {
    let done = CentralAuthority::open(&args.dir)?.publish(clock::system().now())?;
    if call.screen.json {
        return call.screen.object(&done);
    }
    call.screen.tell(
        PUBLISHED,
        &[&done.sequence, &done.dir.display(), &done.nodes, &done.processes, &done.expires_at],
    );
    Ok(())
}

fn revoke(args: &RevokeArgs, call: &Call) -> anyhow::Result<()> {
    let reason = match args.reason {
        Reason::Unspecified => RevocationReason::Unspecified,
        Reason::KeyCompromise => RevocationReason::KeyCompromise,
        Reason::AffiliationChanged => RevocationReason::AffiliationChanged,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
    };
    let mut authority = CentralAuthority::open(&args.dir)?;
    let known = authority.nodes().iter().any(|n| n.id == args.node);
    if !known {
        return Err(Failure::usage(format!("no node {} was enrolled here", args.node)));
    }
    let now = clock::system().now();
    let serials = authority.revoke(&args.node, args.serial.as_deref(), reason, now)?;
    if call.screen.json {
        return call.screen.object(&json!({ "node": args.node, "revoked": serials, "at": now }));
    }
    call.screen.tell(REVOKED, &[&serials.join(", ")]);
    Ok(())
}

//! The help in French: what `--help` says for each verb and each argument.
//!
//! The table is keyed by the path of the verb and, after `#`, the name of the argument; a test
//! demands that nothing is left out.

use clap::{Arg, ArgAction, Command};

const TEMPLATE: &str = "\
{before-help}{about-with-newline}
Utilisation : {usage}

{all-args}{after-help}";

/// The same tree with French help.
pub(super) fn translate(root: Command) -> Command {
    let root = below(root, "");
    root.about(find("").unwrap_or_default())
}

fn below(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut command = command
        .help_template(TEMPLATE)
        .subcommand_help_heading("Verbes")
        .subcommand_value_name("VERBE")
        .disable_help_flag(true)
        .arg(
            Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Affiche l'aide"),
        )
        .mut_args(|arg| {
            let key = format!("{path}#{}", arg.get_id());
            match find(&key).or_else(|| find(&format!("#{}", arg.get_id()))) {
                Some(help) => arg.help(help),
                None => arg,
            }
        });
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |sub| {
            let sub = match find(&path) {
                Some(about) => sub.about(about),
                None => sub,
            };
            below(sub, &path)
        });
    }
    command
}

fn find(key: &str) -> Option<&'static str> {
    TABLE.iter().find(|(k, _)| *k == key).map(|(_, text)| *text)
}

const TABLE: &[(&str, &str)] = &[
    ("", "Échange recommandé entre administrations : sceller, acheminer, prouver."),
    ("#json", "Affiche les données en JSON, un objet ou un par ligne"),
    ("#config", "Fichier de configuration du nœud"),
    ("#version", "Affiche la version"),
    ("authority", "L'autorité centrale d'un réseau : racine, certificats des nœuds, listes"),
    ("#dir", "Répertoire de l'autorité"),
    ("authority init", "Créer une autorité : clés, ancres de confiance, cachet des listes"),
    ("authority init#name", "Nom du réseau, tel qu'il figure dans les certificats"),
    (
        "authority init#base_url",
        "Où se trouveront les fichiers publiés ; figure dans chaque certificat",
    ),
    ("authority enrol", "Certifier les clés d'un nœud et l'inscrire dans la liste"),
    ("authority enrol#node", "Identifiant du nœud, un label DNS"),
    ("authority enrol#operator", "Qui exploite le nœud"),
    ("authority enrol#siren", "SIREN de l'exploitant"),
    ("authority enrol#seal", "Demande (PKCS#10) ou clé publique du cachet, PEM"),
    ("authority enrol#encryption", "Demande (PKCS#10) ou clé publique du chiffrement, PEM"),
    ("authority enrol#backbones", "Dorsale à laquelle le nœud est raccordé ; répétable"),
    ("authority enrol#via", "Nœud par lequel on l'atteint faute de dorsale commune"),
    ("authority enrol#departments", "Département dont il peut héberger les communes ; répétable"),
    ("authority enrol#sirens", "SIREN qu'il peut héberger ; répétable"),
    ("authority enrol#any", "Il peut héberger n'importe quel membre"),
    (
        "authority publish",
        "Sceller à nouveau la liste des nœuds et le catalogue, rafraîchir les listes de révocation",
    ),
    (
        "authority revoke",
        "Révoquer des certificats d'un nœud ; sans cachet, il est fermé dans la liste",
    ),
    ("authority revoke#node", "Identifiant du nœud"),
    ("authority revoke#serial", "Seulement le certificat de ce numéro de série (hexadécimal)"),
    ("authority revoke#reason", "Pourquoi"),
    ("config", "Examiner la configuration d'un nœud"),
    ("config check", "Lire le fichier comme le nœud le ferait, et examiner tout ce qu'il désigne"),
    ("version", "Afficher la version"),
    ("completions", "Afficher un script de complétion"),
    ("completions#shell", "Pour quel interpréteur"),
    ("man", "Écrire les pages de manuel dans un répertoire"),
    ("man#dir", "Où écrire `pli.1`, `pli-send.1`..."),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn missing(command: &Command, path: &str, out: &mut Vec<String>) {
        if find(path).is_none() {
            out.push(path.to_owned());
        }
        for arg in command.get_arguments() {
            let (own, shared) = (format!("{path}#{}", arg.get_id()), format!("#{}", arg.get_id()));
            if arg.get_id() != "help" && find(&own).is_none() && find(&shared).is_none() {
                out.push(own);
            }
        }
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
            missing(sub, &path, out);
        }
    }

    #[test]
    fn every_verb_and_argument_has_french_help() {
        let mut out = Vec::new();
        missing(&crate::cli::Cli::command(), "", &mut out);
        assert!(out.is_empty(), "without French help: {out:#?}");
    }
}

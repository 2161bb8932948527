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
    ("localnet", "Un réseau entier sur une seule machine"),
    (
        "localnet up",
        "Démarrer un réseau, ou ce qui n'en tourne pas ; rend la main quand tout est prêt",
    ),
    ("localnet up#dir", "Répertoire du réseau"),
    (
        "localnet up#backbones",
        "`embedded` (par défaut), kafka://HÔTE:PORT ou amqp://UTILISATEUR:MOT@HÔTE:PORT/VHOST ; \
         NOM=URL, une fois pour chacune, quand la topologie en a plusieurs",
    ),
    ("localnet up#store", "`sqlite` (par défaut), ou postgres://... (une base par nœud est créée)"),
    ("localnet up#topology", "De quoi le réseau est fait (TOML) ; voir ops/topologies"),
    ("localnet up#detach", "Rendre la main quand tout est prêt, et laisser tourner"),
    (
        "localnet demo",
        "Jouer un échange avec sa réponse et ses preuves, sur un réseau existant ou nouveau",
    ),
    ("localnet demo#dir", "Répertoire du réseau"),
    ("localnet status", "Dire ce qui tourne"),
    ("localnet status#dir", "Répertoire du réseau"),
    ("localnet kill", "Tuer un nœud sans préavis (kill -9)"),
    ("localnet kill#node", "Un nœud, ou `tsa`"),
    ("localnet kill#dir", "Répertoire du réseau"),
    ("localnet down", "Tout arrêter en gardant les données"),
    ("localnet down#dir", "Répertoire du réseau"),
    ("localnet down#purge", "Supprimer aussi les données"),
    ("node", "Faire tourner un nœud"),
    ("node init", "Créer clés, demandes de certificat et configuration commentée"),
    ("node init#id", "Identifiant du nœud, un label DNS"),
    ("node init#dir", "Où le créer"),
    ("node init#listen", "Adresse d'écoute"),
    ("node init#public_url", "URL par laquelle les membres l'atteignent"),
    ("node init#store", "sqlite://FICHIER ou postgres://..."),
    ("node init#backbone", "amqp://..., kafka://... ou embedded://FICHIER"),
    ("node init#tsa", "Service d'horodatage (RFC 3161)"),
    ("node doctor", "Essayer réellement chaque dépendance, et dire que faire"),
    ("node run", "Faire tourner le nœud de la configuration jusqu'à ce qu'on l'arrête"),
    ("node status", "Dire ce qui marche et ce qui ne marche pas"),
    ("tsa", "Le service d'horodatage intégré"),
    ("tsa serve", "Répondre aux requêtes RFC 3161 en HTTP ; pour le développement et les essais"),
    ("tsa serve#dir", "Répertoire de tsa.key et tsa.pem"),
    (
        "tsa serve#crls",
        "Répertoire des listes de révocation en vigueur, relues quand elles changent",
    ),
    ("tsa serve#listen", "Adresse d'écoute"),
    ("#url", "URL du nœud"),
    ("#client_id", "Application (OAuth2) du membre"),
    (
        "#client_secret",
        "Secret de l'application ; mieux dans l'environnement ou un fichier que sur la ligne",
    ),
    ("#client_secret_file", "Fichier qui contient le secret de l'application"),
    ("#net", "Répertoire d'un localnet, pour y prendre URL et application"),
    ("#member", "NŒUD/MEMBRE de ce localnet ; le membre par SIRET, code COG ou application"),
    ("send", "Envoyer des documents à un ou plusieurs membres"),
    ("send#to", "SIRET, SIREN, code COG, ou schéma:numéro[:service[:guichet]] ; répétable"),
    ("send#process", "Démarche"),
    ("send#subject", "Objet"),
    ("send#sender_ref", "Le numéro de l'expéditeur"),
    ("send#in_reply_to", "Le pli auquel celui-ci répond"),
    ("send#conversation", "La conversation à poursuivre"),
    ("send#consent", "Le destinataire est invité à accepter avant toute remise"),
    ("send#expires", "Pas de remise après ce moment (RFC 3339)"),
    ("send#idempotency_key", "Les répétitions de même clé n'envoient qu'une fois"),
    ("send#files", "Documents"),
    ("inbox", "Ce que le membre reçoit"),
    ("inbox list", "Ce qui attend le membre"),
    ("inbox list#wait", "Attendre tant de secondes que quelque chose arrive, 60 au plus"),
    ("inbox get", "Enregistrer les documents d'une remise"),
    ("inbox get#output", "Où écrire les documents"),
    ("inbox ack", "Prendre en charge une remise"),
    ("inbox accept", "Accepter une remise qui le demande"),
    ("inbox refuse", "Refuser une remise qui demande une acceptation"),
    ("inbox refuse#reason", "Pourquoi"),
    ("inbox status", "Indiquer l'état de traitement"),
    (
        "inbox status#status",
        "received, in_progress, add_awaiting, done, refused, integration_error",
    ),
    ("inbox status#message", "Une phrase pour l'expéditeur"),
    ("#id", "Identifiant"),
    ("messages", "Ce que le membre a envoyé"),
    ("messages list", "Plis envoyés par le membre"),
    ("messages list#process", "Seulement de cette démarche"),
    ("messages list#state", "Seulement avec une remise dans cet état"),
    ("trace", "Où en est un pli, qui le détient, ce qui le prouve, ce qui suit"),
    ("explain", "Ce que signifie un code, un événement, un état ou un identifiant, et que faire"),
    (
        "explain#what",
        "Code d'anomalie, motif ETSI (RB09), événement (ContentConsignment ou D.1), état (relaying), \
         ou identifiant d'un pli ou d'une preuve",
    ),
    ("evidence", "Les preuves d'un pli"),
    ("evidence list", "Les preuves concernant un pli"),
    ("evidence show", "Ce que dit une preuve"),
    ("evidence export", "Écrire une preuve dans un fichier"),
    (
        "evidence export#format",
        "Telle qu'émise, son JSON, XML ETSI, ou tout ce qui prouve le pli en un zip (ASiC-E)",
    ),
    ("evidence export#output", "Où l'écrire ; sortie standard par défaut"),
    ("proof", "Enregistrer le dossier de preuve d'un pli"),
    ("proof#output", "Où écrire le dossier (.asice)"),
    ("verify", "Vérifier hors ligne dossiers, cachets, enregistrements et jetons"),
    (
        "verify#files",
        "Dossiers (.asice), cachets (.p7m), enregistrements (.ers) et jetons avec ce qu'ils couvrent",
    ),
    ("verify#trust", "Fichier PEM d'ancres de confiance ; répétable"),
    ("verify#at", "Juger à ce moment (RFC 3339) ; maintenant par défaut"),
    ("verify#all", "Dire chaque élément, aussi ceux qui tiennent"),
    (
        "verify#allow_repacked",
        "Accepter un conteneur réemballé par un autre outil, si tous ses éléments sont intacts",
    ),
    ("queue", "Ce qui attend, ce qui est abandonné, ce qui est mis de côté"),
    ("queue list", "Ce qui attend d'être envoyé, ce qui est abandonné, ce qui est mis de côté"),
    ("queue list#to", "Seulement vers ce nœud"),
    ("queue redrive", "Réessayer ce qui était abandonné"),
    ("queue redrive#ids", "Lignes de `pli queue list`"),
    ("queue redrive#all", "Tout ce qui était abandonné"),
    ("clients", "Qui peut appeler l'interface du nœud"),
    ("clients add", "Donner accès au logiciel d'un membre ; le secret est affiché une seule fois"),
    ("clients add#member", "Le membre, par son SIRET"),
    ("clients add#scopes", "Portées parmi send, receive, read, operate, audit"),
    ("clients add#id", "Identifiant de l'application ; inventé par défaut"),
    ("clients revoke", "Retirer l'accès"),
    ("clients revoke#id", "Identifiant de l'application"),
    ("audit", "Le journal des actes des exploitants"),
    (
        "audit verify",
        "Vérifier que le journal est intègre : rien de modifié, retiré, ajouté ni déplacé",
    ),
    ("fsck", "Recalculer chaque état depuis les preuves scellées, et signaler les écarts"),
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

    fn keys(command: &Command, path: &str, out: &mut Vec<String>) {
        out.push(path.to_owned());
        out.extend(command.get_arguments().map(|arg| format!("{path}#{}", arg.get_id())));
        out.extend(command.get_arguments().map(|arg| format!("#{}", arg.get_id())));
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
            keys(sub, &path, out);
        }
    }

    #[test]
    fn no_french_help_is_about_what_is_gone() {
        let mut known = vec!["#version".to_owned()];
        keys(&crate::cli::Cli::command(), "", &mut known);
        let stale: Vec<&str> = TABLE
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| !known.iter().any(|k| k == key))
            .collect();
        assert!(stale.is_empty(), "{stale:#?}");
    }

    #[test]
    fn every_verb_and_argument_has_french_help() {
        let mut out = Vec::new();
        missing(&crate::cli::Cli::command(), "", &mut out);
        assert!(out.is_empty(), "without French help: {out:#?}");
    }
}

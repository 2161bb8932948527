//! The help in French: what `--help` says for each verb and each argument.
//!
//! The table is keyed by the path of the verb and, after `#`, the name of the argument; after `!`
//! stand the examples. A test demands that nothing is left out.

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
            let sub = match find(&format!("{path}!")) {
                Some(examples) => sub.after_help(examples),
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
    (
        "localnet up#credentials",
        "Pour un courtier qui connaît ses nœuds par leurs certificats : un répertoire avec ca.pem, \
         et NŒUD/certificate.pem et NŒUD/key.pem de chaque nœud",
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
    (
        "inbox refuse",
        "Refuser une remise qui demande une acceptation, ou dont le type ne peut être pris",
    ),
    ("inbox refuse#reason", "Pourquoi"),
    (
        "inbox refuse#type_refused",
        "L'application ne peut prendre le type de ce qui a été mis à disposition",
    ),
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
    (
        "queue redrive",
        "Réessayer ce qui était abandonné ou mis de côté, ou renvoyer ce qui a été envoyé",
    ),
    ("queue redrive#ids", "Lignes de `pli queue list`"),
    ("queue redrive#all", "Tout ce qui était abandonné"),
    ("queue redrive#message", "Un pli, quoi qu'il soit devenu ; répétable"),
    ("queue redrive#from", "Tout pli déposé à partir de ce moment (RFC 3339)"),
    ("queue redrive#to", "Et avant celui-ci ; maintenant par défaut"),
    ("queue redrive#node", "Parmi eux, seulement ceux qui vont vers ce nœud"),
    ("queue redrive#reason", "Pourquoi, pour le journal"),
    (
        "queue redrive!",
        "Exemples :\n  pli queue redrive 17 18 --reason 'les voies manquaient'\n  \
         pli queue redrive --all --reason 'le courtier est réparé'\n  \
         pli queue redrive --message ID --reason 'à la demande de cd-34'\n  \
         pli queue redrive --from 2026-11-23T08:00:00Z --to 2026-11-23T12:00:00Z \\\n      \
         --node cd-34 --reason 'cd-34 est restauré de sa sauvegarde du matin'",
    ),
    ("queue close", "Clore ce qui est abandonné ou mis de côté : gardé, mais plus compté"),
    ("queue close#ids", "Lignes de `pli queue list`"),
    ("queue close#reason", "Pourquoi, pour le journal"),
    ("queue close!", "Exemple :\n  pli queue close 17 --reason 'renvoyé par la poste'"),
    ("hold", "Retenir les envois vers un nœud"),
    ("hold#node", "L'autre nœud"),
    ("hold#reason", "Pourquoi, pour le journal et pour qui le demande"),
    ("hold!", "Exemple :\n  pli hold cd-34 --reason 'leur base est en réparation'"),
    ("release", "Reprendre les envois vers un nœud"),
    ("release#node", "L'autre nœud"),
    ("release#reason", "Pourquoi, pour le journal"),
    ("release!", "Exemple :\n  pli release cd-34 --reason 'ils sont de retour'"),
    ("throttle", "Limiter le débit des envois vers un nœud"),
    ("throttle#node", "L'autre nœud"),
    ("throttle#rate", "Envois par seconde, au plus ; 0.5 : un toutes les deux secondes"),
    ("throttle#none", "Plus de limite"),
    ("throttle#reason", "Pourquoi, pour le journal et pour qui le demande"),
    (
        "throttle!",
        "Exemples :\n  pli throttle cd-34 --rate 20 --reason 'leur disque est lent'\n  \
         pli throttle cd-34 --none --reason 'leur disque est neuf'",
    ),
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
    ("backup", "Sauvegardes du nœud"),
    ("backup create", "Prendre une sauvegarde, que le nœud tourne ou non"),
    (
        "backup create#to",
        "Répertoire qui reçoit la sauvegarde, sous un nom fait du nœud et de l'heure",
    ),
    (
        "backup create#base",
        "Une sauvegarde antérieure du même disque ; le contenu inchangé y est lié",
    ),
    (
        "backup create#keys_for",
        "PEM de qui pourra recouvrer les clés privées ; sinon, elles ne sont pas sauvegardées",
    ),
    ("backup verify", "Vérifier qu'une sauvegarde est intègre ; ni nœud ni clés nécessaires"),
    ("backup verify#backup", "La sauvegarde"),
    ("backup verify#trust", "PEM des autorités à croire ; par défaut celles de la sauvegarde"),
    (
        "backup recall",
        "Après un retour en arrière de la base par d'autres moyens : interroger les voisins",
    ),
    ("backup recall#since", "Ce que la base sait : tout ce qui précède cette date (RFC 3339)"),
    ("backup release", "Ne plus attendre un voisin qui ne peut pas dire ce qu'il détient"),
    ("backup release#node", "Le voisin"),
    ("backup restore", "Remettre une sauvegarde sur une machine nue"),
    ("backup restore#backup", "La sauvegarde"),
    ("backup restore#to", "Répertoire du nœud restauré ; absent ou vide"),
    ("backup restore#store", "Sa base, vide ; par défaut celle de la sauvegarde"),
    ("backup restore#backbone", "Son réseau ; NOM=URL s'il en a plusieurs"),
    ("backup restore#trust", "PEM des autorités à croire ; par défaut celles de la sauvegarde"),
    (
        "backup restore#keys",
        "Répertoire des clés privées gardées à part : seal.key, encryption.key, storage.key",
    ),
    ("backup restore#key", "Clé privée qui ouvre les clés de la sauvegarde"),
    ("backup restore#certificate", "Son certificat, pour lequel les clés ont été chiffrées"),
    ("fsck", "Recalculer chaque état depuis les preuves scellées, et signaler les écarts"),
    ("fsck#sizes", "Ne comparer que la taille des documents, sans les lire en entier"),
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
        let examples = format!("{path}!");
        // Commands alone read the same in both languages.
        let words = command.get_after_help().is_some_and(|h| h.to_string().contains("Example"));
        if words && find(&examples).is_none() {
            out.push(examples);
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
        out.extend(command.get_after_help().map(|_| format!("{path}!")));
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

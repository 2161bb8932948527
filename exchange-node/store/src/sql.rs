//! Every statement of the archive, by name: one text for each dialect, the same parameters.
//!
//! Statements that write many rows take them column by column; see [`crate::db::Args`] for how a
//! dialect receives them.

/// A statement in both dialects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    /// File name without its ending.
    #[cfg_attr(
        not(any(test, feature = "conformance")),
        allow(dead_code, reason = "names the file when a statement fails")
    )]
    pub(crate) name: &'static str,
    /// For SQLite.
    pub(crate) sqlite: &'static str,
    /// For PostgreSQL.
    pub(crate) postgres: &'static str,
}

macro_rules! statements {
    ($($constant:ident = $file:literal;)*) => {
        $(pub(crate) const $constant: Sql = Sql {
            name: $file,
            sqlite: include_str!(concat!("../sql/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../sql/postgres/", $file, ".sql")),
        };)*

        /// All of them, for the test that prepares each on both databases.
        #[cfg(any(test, feature = "conformance"))]
        pub(crate) const ALL: &[Sql] = &[$($constant),*];
    };
}

statements! {
    ANCHOR_GAP = "anchor_gap";
    ANCHOR_INSERT = "anchor_insert";
    ANCHOR_LAST = "anchor_last";
    ANCHOR_LOCK = "anchor_lock";
    ANCHOR_TOKENS = "anchor_tokens";
    ANCHORED_PATHS = "anchored_paths";
    CAUSE_DELETE = "cause_delete";
    CAUSE_INSERT = "cause_insert";
    CAUSE_OUTCOMES = "cause_outcomes";
    CLIENT_ONE = "client_one";
    CLIENT_PUT = "client_put";
    CLIENTS_ALL = "clients_all";
    COUNTS_DELIVERIES = "counts_deliveries";
    COUNTS_EVIDENCE = "counts_evidence";
    COUNTS_OLDEST = "counts_oldest";
    COUNTS_PEERS = "counts_peers";
    COUNTS_QUEUE = "counts_queue";
    DELIVERIES_ALL = "deliveries_all";
    DELIVERIES_BY_ID = "deliveries_by_id";
    DELIVERIES_DUE = "deliveries_due";
    DELIVERIES_OF = "deliveries_of";
    DELIVERY_INSERT = "delivery_insert";
    DELIVERY_LOCK = "delivery_lock";
    DELIVERY_UPDATE = "delivery_update";
    ENVELOPES = "envelopes";
    ERASE_KEYS = "erase_keys";
    ERASE_MARK = "erase_mark";
    ERASED_INSERT = "erased_insert";
    EVENT_INSERT = "event_insert";
    EVENTS_AFTER = "events_after";
    EVIDENCE_AFTER = "evidence_after";
    EVIDENCE_BYTES = "evidence_bytes";
    EVIDENCE_INSERT = "evidence_insert";
    EVIDENCE_MERGE = "evidence_merge";
    EVIDENCE_OF = "evidence_of";
    EVIDENCE_ONE = "evidence_one";
    FEED_LOCK = "feed_lock";
    GARBAGE_FORGET = "garbage_forget";
    GARBAGE_INSERT = "garbage_insert";
    GARBAGE_LIST = "garbage_list";
    GARBAGE_NEEDED = "garbage_needed";
    GARBAGE_OFFER = "garbage_offer";
    INBOX_CLAIM = "inbox_claim";
    INBOX_DELETE = "inbox_delete";
    INBOX_HIDE = "inbox_hide";
    INBOX_INSERT = "inbox_insert";
    INBOX_LIST = "inbox_list";
    INBOX_ONE = "inbox_one";
    INBOX_ROWS = "inbox_rows";
    INBOX_USAGE = "inbox_usage";
    KEY_INSERT = "key_insert";
    KEYS_OF = "keys_of";
    LOOK_ANCHOR = "look_anchor";
    LOOK_CONTENT = "look_content";
    LOOK_DELIVERIES = "look_deliveries";
    LOOK_ENDS = "look_ends";
    LOOK_EVENTS = "look_events";
    LOOK_INBOX = "look_inbox";
    LOOK_KEYS = "look_keys";
    LOOK_KNOWN = "look_known";
    LOOK_LEAVES = "look_leaves";
    LOOK_MESSAGES = "look_messages";
    LOOK_OBJECTS = "look_objects";
    LOOK_QUEUE = "look_queue";
    LOOK_RECORDS = "look_records";
    LOOK_STRAYS = "look_strays";
    MESSAGE_INSERT = "message_insert";
    MESSAGE_ONE = "message_one";
    MESSAGES_ALL = "messages_all";
    MESSAGES_OF_MEMBER = "messages_of_member";
    MESSAGES_USAGE = "messages_usage";
    PEER_CLAIMED = "peer_claimed";
    PEER_PAUSE = "peer_pause";
    PEER_RESUME = "peer_resume";
    PEER_RULE = "peer_rule";
    PEERS_ALL = "peers_all";
    PEERS_LOCK = "peers_lock";
    PEERS_SWEEP = "peers_sweep";
    PROBE_READ = "probe_read";
    PROBE_WRITE = "probe_write";
    QUEUE_CLAIM = "queue_claim";
    QUEUE_CLAIM_PEER = "queue_claim_peer";
    QUEUE_CLOSE = "queue_close";
    QUEUE_DEAD = "queue_dead";
    QUEUE_DONE = "queue_done";
    QUEUE_HEADLESS = "queue_headless";
    QUEUE_INSERT = "queue_insert";
    QUEUE_LEASE = "queue_lease";
    QUEUE_LIST = "queue_list";
    QUEUE_LIST_TO = "queue_list_to";
    QUEUE_PROMOTE = "queue_promote";
    QUEUE_REDRIVE = "queue_redrive";
    QUEUE_RETRY = "queue_retry";
    QUEUE_TRIED = "queue_tried";
    QUEUE_UNSENT = "queue_unsent";
    QUEUE_WAITING = "queue_waiting";
    SET_ASIDE_INSERT = "set_aside_insert";
    STAPLED_FIND = "stapled_find";
    STAPLED_INSERT = "stapled_insert";
    SWEEP_CAUSES = "sweep_causes";
    SWEEP_ERASED = "sweep_erased";
    SWEEP_TOKENS = "sweep_tokens";
    SWEEP_UPLOADS = "sweep_uploads";
    SWEEP_USED = "sweep_used";
    SWEEP_USES = "sweep_uses";
    TOKEN_ONE = "token_one";
    TOKEN_PUT = "token_put";
    UNANCHORED_LIST = "unanchored_list";
    UNANCHORED_OLDEST = "unanchored_oldest";
    UPLOAD_INSERT = "upload_insert";
    UPLOAD_KEEP = "upload_keep";
    UPLOAD_PUT = "upload_put";
    UPLOAD_USE_INSERT = "upload_use_insert";
    UPLOADS_BY_ID = "uploads_by_id";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::ALL;

    #[test]
    fn each_file_is_a_statement_in_both_dialects() {
        let named: BTreeSet<String> = ALL.iter().map(|s| format!("{}.sql", s.name)).collect();
        assert_eq!(named.len(), ALL.len(), "a name stands twice");
        for dialect in ["sqlite", "postgres"] {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(dialect);
            let files = std::fs::read_dir(dir).unwrap();
            let files: BTreeSet<String> =
                files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
            assert_eq!(files, named, "{dialect}");
        }
    }
}

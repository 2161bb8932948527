//! Permission objects. Whoever is authenticated gets one for what its scopes allow, and an object
//! cannot express another member's data: the member's key is inside, and every query goes through
//! it. What belongs to somebody else is not found.
//!
//! No route reaches the archive by another way: [`Own`] for what is a member's, [`Door`] for what
//! comes before anybody is known. A test reads the routes and refuses the word.

use std::sync::Arc;

use exchange_core::state::{Delivery, Role};
use exchange_store::StoreError;
use exchange_store::rows::{
    Cause, ClientRow, DeliveryKey, DeliveryQuery, DeliveryRow, EventRow, EvidenceRow, InboxQuery,
    Kind, MessageQuery, MessageRow, TokenRow, Upload,
};
use schemas::api::Hindrance;
use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::event::Event;
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId};
use schemas::party::Party;

use crate::node::Node;
use crate::peers;
use crate::quota::Standing;

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Submit messages and set the sender's statuses.
    Send,
    /// Read and answer the inbox.
    Receive,
    /// Read what the member sent and received.
    Read,
    /// Operate the node.
    Operate,
    /// Read as an auditor.
    Audit,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 5] = [Self::Send, Self::Receive, Self::Read, Self::Operate, Self::Audit];

    /// The name in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Audit => "audit",
        }
    }
}

/// An authenticated member.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The organisation.
    pub member: Party,
    /// The client that it uses.
    pub client_id: String,
    /// Granted scopes.
    pub scopes: Vec<String>,
}

impl Caller {
    /// Whether a scope was granted.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|s| s == scope.name())
    }

    /// The member's data, for this node.
    #[must_use]
    pub fn own<'a>(&self, node: &'a Node) -> Own<'a> {
        Own { node, member: self.member.clone(), key: self.member.organisation().key() }
    }
}

/// One member's data at one node.
#[derive(Clone, Debug)]
pub struct Own<'a> {
    node: &'a Node,
    member: Party,
    key: String,
}

/// A message that the member sent, or received in one of its deliveries.
#[derive(Clone, Debug)]
pub struct OwnMessage {
    /// The envelope, with what the member may see of it: a recipient sees neither the documents
    /// of others nor the sender's own number.
    pub envelope: Arc<Envelope>,
    /// How many documents it does not see.
    pub hidden: usize,
    /// The deliveries that the member may see: all of what it sent, its own of what it received.
    pub deliveries: Vec<Delivery>,
    /// Sealed objects that go with those deliveries.
    pub objects: Vec<EvidenceRow>,
    /// Whether the member is the sender.
    pub sent: bool,
}

impl Own<'_> {
    /// The member.
    #[must_use]
    pub const fn member(&self) -> &Party {
        &self.member
    }

    /// The member's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Documents that the member uploaded.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn uploads(&self, ids: &[DocumentId]) -> Result<Vec<Upload>, StoreError> {
        self.node.store.uploads(&self.key, ids, self.node.clock.now()).await
    }

    /// Messages that the member sent, oldest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sent(&self, query: MessageQuery) -> Result<Vec<MessageRow>, StoreError> {
        self.node.store.messages(&MessageQuery { member: Some(self.key.clone()), ..query }).await
    }

    /// A message that the member sent or received.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn message(&self, id: MessageId) -> Result<Option<OwnMessage>, StoreError> {
        let query = MessageQuery { id: Some(id), limit: 1, ..MessageQuery::default() };
        if let Some(row) = self.sent(query).await?.into_iter().next() {
            return self.whole(row.envelope, true).await.map(Some);
        }
        let rows = self.deliveries_of(id).await?;
        let received = rows.into_iter().find(|r| r.recipient_member.as_ref() == Some(&self.key));
        match received {
            Some(row) => self.whole(row.envelope, false).await.map(Some),
            None => Ok(None),
        }
    }

    async fn deliveries_of(&self, id: MessageId) -> Result<Vec<DeliveryRow>, StoreError> {
        let query = DeliveryQuery { messages: vec![id], after: 0, limit: u32::MAX };
        self.node.store.deliveries(&query).await
    }

    async fn whole(&self, envelope: Arc<Envelope>, sent: bool) -> Result<OwnMessage, StoreError> {
        let rows = self.deliveries_of(envelope.message_id).await?;
        let deliveries: Vec<Delivery> = rows
            .into_iter()
            .filter(|r| sent || r.recipient_member.as_ref() == Some(&self.key))
            .map(|r| r.delivery)
            .collect();
        let objects = self.node.store.evidence_of(envelope.message_id).await?;
        let visible = |row: &EvidenceRow| {
            let own = &row.evidence.deliveries;
            own.is_empty() || own.iter().any(|id| deliveries.iter().any(|d| d.id == *id))
        };
        let shown =
            if sent { Arc::clone(&envelope) } else { Arc::new(seen(&envelope, &deliveries)) };
        let hidden = envelope.documents.len().saturating_sub(shown.documents.len());
        // A dispatch holds the envelope as the sender wrote it.
        let open = |row: &EvidenceRow| hidden == 0 || row.evidence.kind != Kind::Dispatch;
        let mut objects: Vec<EvidenceRow> =
            objects.into_iter().filter(|row| visible(row) && open(row)).collect();
        // Of two recipients at one node, the first brings the A.1: for both it comes first.
        objects.sort_by_key(|row| row.evidence.event != Some(Event::SubmissionAcceptance));
        Ok(OwnMessage { envelope: shown, hidden, deliveries, objects, sent })
    }

    /// What hinders each delivery of a message, in their order.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn hindrances(
        &self,
        message: &OwnMessage,
    ) -> Result<Vec<Option<Hindrance>>, StoreError> {
        let peers = self.node.store.peers().await?;
        Ok(message.deliveries.iter().map(|d| peers::hindrance(d, &peers)).collect())
    }

    /// Records a document that the member brought, until its time is over.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn put_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        if upload.member != self.key {
            return Err(StoreError::Corrupt("an upload of somebody else".to_owned()));
        }
        self.node.store.put_upload(upload).await
    }

    /// Where the member stands that wants to send so many octets in so many messages; none when it
    /// has no quota.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn standing(&self, more: (u64, u64)) -> Result<Option<Standing>, StoreError> {
        let Node { quotas, store, clock, .. } = self.node;
        quotas.standing(store.as_ref(), &self.member, more, clock.now()).await
    }

    /// The cause of what the member does under an `Idempotency-Key`.
    #[must_use]
    pub fn cause(&self, key: &str) -> Cause {
        Cause(format!("idem:{}:{key}", self.key))
    }

    /// Whether something was done under this `Idempotency-Key` before.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_known(&self, key: &str) -> Result<bool, StoreError> {
        let cause = self.cause(key);
        let loaded = self.node.store.load(std::slice::from_ref(&cause), &[], &[]).await?;
        Ok(loaded.outcomes.contains_key(&cause))
    }

    /// An evidence about a delivery to the member.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn evidence_about(
        &self,
        row: &DeliveryRow,
        id: EvidenceId,
    ) -> Result<Option<EvidenceRow>, StoreError> {
        if row.recipient_member.as_ref() != Some(&self.key) {
            return Ok(None);
        }
        let found = self.node.store.evidence(id).await?;
        Ok(found.filter(|e| e.evidence.message == row.delivery.message))
    }

    /// An evidence about a message of the member.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn evidence(&self, id: EvidenceId) -> Result<Option<EvidenceRow>, StoreError> {
        let Some(row) = self.node.store.evidence(id).await? else {
            return Ok(None);
        };
        let message = self.message(row.evidence.message).await?;
        let seen = message.is_some_and(|m| m.objects.iter().any(|o| o.evidence.id == id));
        Ok((seen && row.evidence.kind == Kind::Evidence).then_some(row))
    }

    /// Deliveries that wait for the member.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn inbox(
        &self,
        after: i64,
        limit: u32,
        claim: Option<i64>,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let now = self.node.clock.now();
        let member = self.key.clone();
        self.node.store.inbox(&InboxQuery { member, id: None, after, limit, claim, now }).await
    }

    /// A delivery to the member, in whatever state.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn received(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        let query = InboxQuery {
            member: self.key.clone(),
            id: Some(id),
            after: 0,
            limit: 1,
            claim: None,
            now: self.node.clock.now(),
        };
        Ok(self.node.store.inbox(&query).await?.into_iter().next())
    }

    /// Whether the member is the sender of a delivery at this node.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_sender_of(&self, id: DeliveryId) -> Result<bool, StoreError> {
        let loaded = self.node.store.load(&[], &[id], &[]).await?;
        let Some((delivery, _)) = loaded.deliveries.get(&id) else {
            return Ok(false);
        };
        let here = matches!(delivery.role, Role::Sender | Role::Local);
        let envelope = loaded.envelopes.get(&delivery.message);
        Ok(here && envelope.is_some_and(|e| e.sender.organisation().key() == self.key))
    }

    /// The wrapped key of a document of a delivery to the member.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn document_key(
        &self,
        row: &DeliveryRow,
        document: DocumentId,
    ) -> Result<Option<DeliveryKey>, StoreError> {
        if row.recipient_member.as_ref() != Some(&self.key) {
            return Ok(None);
        }
        let keys = self.node.store.delivery_keys(row.delivery.id).await?;
        Ok(keys.into_iter().find(|k| k.document == document))
    }

    /// What happened to the member's messages, in order.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn events(&self, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.node.store.events(&self.key, after, limit).await
    }
}

/// What a recipient sees of an envelope.
fn seen(envelope: &Envelope, deliveries: &[Delivery]) -> Envelope {
    let mut seen = envelope.clone();
    seen.documents.retain(|d| deliveries.iter().any(|own| d.is_for(own.recipient_index)));
    seen.sender_ref = None;
    seen
}

/// What comes before anybody is known: clients and their tokens.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a>(&'a Node);

impl<'a> Door<'a> {
    /// The door of a node.
    #[must_use]
    pub const fn of(node: &'a Node) -> Self {
        Self(node)
    }

    /// A token that is valid now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn token(&self, sha256: &Digest) -> Result<Option<TokenRow>, StoreError> {
        self.0.store.token(sha256, self.0.clock.now()).await
    }

    /// A client by its id, revoked or not.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn client(&self, id: &str) -> Result<Option<ClientRow>, StoreError> {
        self.0.store.client(id).await
    }

    /// Records a token.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn grant(&self, token: &TokenRow) -> Result<(), StoreError> {
        self.0.store.put_token(token).await
    }

    /// Records a document that was complete when the process died that took it; it bears the
    /// name of its member.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recover(&self, upload: &Upload) -> Result<(), StoreError> {
        self.0.store.put_upload(upload).await
    }
}

//! Permission objects. Whoever is authenticated gets one for what its scopes allow, and an object
//! cannot express another member's data: the member's key is inside, and every query goes through
//! it. What belongs to somebody else is not found.

use std::sync::Arc;

use exchange_core::state::{Delivery, Role};
use exchange_store::StoreError;
use exchange_store::rows::{
    DeliveryKey, DeliveryQuery, DeliveryRow, EventRow, EvidenceRow, InboxQuery, Kind, MessageQuery,
    MessageRow, Upload,
};
use schemas::envelope::Envelope;
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId};
use schemas::party::Party;

use crate::node::Node;

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
    /// The envelope.
    pub envelope: Arc<Envelope>,
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
        let objects = objects.into_iter().filter(visible).collect();
        Ok(OwnMessage { envelope, deliveries, objects, sent })
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

//! Who may ask, and what they have brought: clients, tokens, uploads.

use schemas::digest::Digest;
use schemas::ids::DocumentId;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db};
use crate::rows::{ClientRow, TokenRow, Upload};
use crate::sql;
use crate::text::{digest, from_json, json_text, signed, time, unsigned};

/// Records an upload; a repeat of its id changes nothing.
pub(crate) async fn put_upload(db: &Db, upload: &Upload) -> Result<(), StoreError> {
    let args = Args::new()
        .id(upload.id.0)
        .text(upload.member.as_str())
        .text(upload.name.as_str())
        .text(upload.media_type.as_str())
        .int(signed(upload.size))
        .blob(upload.sha256.as_bytes().as_slice())
        .blob(upload.cipher_sha256.as_bytes().as_slice())
        .int(signed(upload.cipher_size))
        .blob(upload.wrapped_key.as_slice())
        .int(upload.at.millis())
        .int(upload.expires.map(Timestamp::millis));
    db.write(sql::UPLOAD_PUT, args).await.map(drop)
}

#[derive(sqlx::FromRow)]
struct UploadRaw {
    id: Uuid,
    member: String,
    name: String,
    media_type: String,
    size: i64,
    sha256: Vec<u8>,
    cipher_sha256: Vec<u8>,
    cipher_size: i64,
    wrapped_key: Vec<u8>,
    at: i64,
    expires: Option<i64>,
}

/// Uploads of a member.
pub(crate) async fn uploads(
    db: &Db,
    member: &str,
    ids: &[DocumentId],
    now: Timestamp,
) -> Result<Vec<Upload>, StoreError> {
    let args = Args::new().ids(ids.iter().map(|id| id.0)).text(member).int(now.millis());
    let rows: Vec<UploadRaw> = db.fetch(sql::UPLOADS_BY_ID, args).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Upload {
                id: DocumentId(row.id),
                member: row.member,
                name: row.name,
                media_type: row.media_type,
                size: unsigned(row.size),
                sha256: digest(&row.sha256)?,
                cipher_sha256: digest(&row.cipher_sha256)?,
                cipher_size: unsigned(row.cipher_size),
                wrapped_key: row.wrapped_key,
                at: time(row.at),
                expires: row.expires.map(time),
            })
        })
        .collect()
}

/// Adds or replaces a client.
pub(crate) async fn put_client(db: &Db, client: &ClientRow) -> Result<(), StoreError> {
    let (member, scopes) = (json_text(&client.member), json_text(&client.scopes));
    let args = Args::new()
        .text(client.client_id.as_str())
        .text(client.secret_hash.as_str())
        .text(member.as_str())
        .text(scopes.as_str())
        .int(client.revoked_at.map(Timestamp::millis));
    db.write(sql::CLIENT_PUT, args).await.map(drop)
}

/// Id, hash of the secret, member, scopes, revocation.
type ClientRaw = (String, String, String, String, Option<i64>);

fn client_row(row: ClientRaw) -> Result<ClientRow, StoreError> {
    let (client_id, secret_hash, member, scopes, revoked_at) = row;
    Ok(ClientRow {
        client_id,
        secret_hash,
        member: from_json("the member of a client", &member)?,
        scopes: from_json("the scopes of a client", &scopes)?,
        revoked_at: revoked_at.map(time),
    })
}

/// One client.
pub(crate) async fn client(db: &Db, id: &str) -> Result<Option<ClientRow>, StoreError> {
    db.fetch_one(sql::CLIENT_ONE, Args::new().text(id)).await?.map(client_row).transpose()
}

/// All clients.
pub(crate) async fn clients(db: &Db) -> Result<Vec<ClientRow>, StoreError> {
    let rows: Vec<ClientRaw> = db.fetch(sql::CLIENTS_ALL, Args::new()).await?;
    rows.into_iter().map(client_row).collect()
}

/// Records a token.
pub(crate) async fn put_token(db: &Db, token: &TokenRow) -> Result<(), StoreError> {
    let (member, scopes) = (json_text(&token.member), json_text(&token.scopes));
    let args = Args::new()
        .blob(token.sha256.as_bytes().as_slice())
        .text(token.client_id.as_str())
        .text(member.as_str())
        .text(scopes.as_str())
        .int(token.expires.millis());
    db.write(sql::TOKEN_PUT, args).await.map(drop)
}

/// A token in force.
pub(crate) async fn token(
    db: &Db,
    sha256: &Digest,
    now: Timestamp,
) -> Result<Option<TokenRow>, StoreError> {
    type Raw = (Vec<u8>, String, String, String, i64);
    let args = Args::new().blob(sha256.as_bytes().as_slice()).int(now.millis());
    let row: Option<Raw> = db.fetch_one(sql::TOKEN_ONE, args).await?;
    let Some((sha256, client_id, member, scopes, expires)) = row else { return Ok(None) };
    Ok(Some(TokenRow {
        sha256: digest(&sha256)?,
        client_id,
        member: from_json("the member of a token", &member)?,
        scopes: from_json("the scopes of a token", &scopes)?,
        expires: time(expires),
    }))
}

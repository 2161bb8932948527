//! Tokens: OAuth 2.0 client credentials (RFC 6749 §4.4), opaque bearers (RFC 6750).
//!
//! Only the digest of a token is stored. A verdict is kept for a few seconds, so that a busy
//! client costs one query now and then, and a revocation is obeyed soon.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use exchange_store::rows::{ClientRow, TokenRow};
use schemas::api::Token;
use schemas::digest::Digest;
use schemas::problem::Code;
use schemas::time::{SECOND, Timestamp};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::access::{Caller, Door, Scope};
use crate::api::App;
use crate::api::error::{ApiError, ApiResult};
use crate::api::extract::Whole;

/// How long a verdict on a token is kept, in milliseconds.
const KEEP: i64 = 5 * SECOND;
/// Most verdicts kept.
const MOST: usize = 10_000;
/// Secrets are slow to verify on purpose: no more than these at once.
static VERIFYING: Semaphore = Semaphore::const_new(2);
/// What an unknown client's secret is compared with, so that it takes as long as a known one's.
static DECOY: LazyLock<String> =
    LazyLock::new(|| crate::secret::hash("nobody").unwrap_or_default());

/// Tokens that were looked up lately.
#[derive(Debug, Default)]
pub struct TokenCache(Mutex<HashMap<Digest, (Timestamp, TokenRow)>>);

impl TokenCache {
    fn find(&self, sha256: &Digest, now: Timestamp) -> Option<TokenRow> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, token) = known.get(sha256)?;
        (*until > now && token.expires > now).then(|| token.clone())
    }

    fn keep(&self, token: TokenRow, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(token.sha256, (now.plus(KEEP), token));
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let bearer = bearer(&parts.headers).ok_or_else(unauthenticated)?;
        let sha256 = signing::digest::sha256(bearer.as_bytes());
        let now = app.node.clock.now();
        let token = match app.tokens.find(&sha256, now) {
            Some(token) => token,
            None => {
                let token = Door::of(&app.node).token(&sha256).await?;
                let token = token.ok_or_else(unauthenticated)?;
                app.tokens.keep(token.clone(), now);
                token
            }
        };
        Ok(Self { member: token.member, client_id: token.client_id, scopes: token.scopes })
    }
}

impl Caller {
    /// Refuses a caller without this scope.
    ///
    /// # Errors
    /// `not-authorised`.
    pub fn need(&self, scope: Scope) -> ApiResult<()> {
        if self.may(scope) {
            return Ok(());
        }
        Err(ApiError::of(
            Code::NotAuthorised,
            format!("This needs the scope \"{}\".", scope.name()),
            format!("Il faut pour cela la portée « {} ».", scope.name()),
        ))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthenticated() -> ApiError {
    ApiError::of(
        Code::Unauthenticated,
        "Get a token from /oauth2/token.",
        "Obtenez un jeton auprès de /oauth2/token.",
    )
}

/// `POST /oauth2/token`. Errors have the form of RFC 6749 §5.2 and that of a problem at once.
pub async fn token(State(app): State<App>, headers: HeaderMap, body: ApiResult<Whole>) -> Response {
    let granted = match body {
        Ok(Whole(body)) => grant(&app, &headers, &body).await,
        Err(refusal) => Err(("invalid_request", refusal)),
    };
    match granted {
        Ok(token) => {
            let no_store = [(header::CACHE_CONTROL, "no-store")];
            (StatusCode::OK, no_store, Json(token)).into_response()
        }
        Err((error, refusal)) => {
            let refusal = refusal.named();
            let mut value = json!(&*refusal.0);
            if let Some(map) = value.as_object_mut() {
                map.insert("error".to_owned(), json!(error));
            }
            let mut response = refusal.into_response();
            let body = serde_json::to_vec(&value).unwrap_or_default();
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = axum::body::Body::from(body);
            response
        }
    }
}

type Refused = (&'static str, ApiError);

async fn grant(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Token, Refused> {
    let form = form(body);
    let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    match field("grant_type") {
        Some("client_credentials") => {}
        given => {
            let problem = ApiError::invalid(
                "grant_type must be client_credentials.",
                "grant_type doit valoir client_credentials.",
            );
            let absent = given.is_none();
            let error = if absent { "invalid_request" } else { "unsupported_grant_type" };
            return Err((error, problem));
        }
    }
    let (id, secret) = basic(headers)
        .or_else(|| Some((field("client_id")?.to_owned(), field("client_secret")?.to_owned())))
        .ok_or_else(invalid_client)?;
    let server = |e: exchange_store::StoreError| ("server_error", ApiError::from(e));
    let client = Door::of(&app.node).client(&id).await.map_err(server)?;
    let client = verified(client, secret).await?;
    let scopes = scopes(&client, field("scope"))?;
    let now = app.node.clock.now();
    let life = app.node.config.limits.token_s;
    let access_token = random_token().ok_or_else(|| {
        ("server_error", ApiError::of(Code::Internal, "No randomness.", "Pas d'aléa."))
    })?;
    let row = TokenRow {
        sha256: signing::digest::sha256(access_token.as_bytes()),
        client_id: client.client_id,
        member: client.member,
        scopes: scopes.clone(),
        expires: now.plus(i64::try_from(life).unwrap_or(3_600).saturating_mul(SECOND)),
    };
    Door::of(&app.node).grant(&row).await.map_err(server)?;
    Ok(Token {
        access_token,
        token_type: "Bearer".to_owned(),
        expires_in: life,
        scope: scopes.join(" "),
    })
}

/// Checks the secret, taking as long for an unknown client.
async fn verified(client: Option<ClientRow>, secret: String) -> Result<ClientRow, Refused> {
    let Ok(_turn) = VERIFYING.acquire().await else {
        return Err(invalid_client());
    };
    let hash = client
        .as_ref()
        .filter(|c| c.revoked_at.is_none())
        .map_or_else(|| DECOY.clone(), |c| c.secret_hash.clone());
    let good = tokio::task::spawn_blocking(move || crate::secret::verify(&secret, &hash))
        .await
        .unwrap_or(false);
    client.filter(|c| good && c.revoked_at.is_none()).ok_or_else(invalid_client)
}

fn scopes(client: &ClientRow, asked: Option<&str>) -> Result<Vec<String>, Refused> {
    let Some(asked) = asked.filter(|a| !a.trim().is_empty()) else {
        return Ok(client.scopes.clone());
    };
    let asked: Vec<String> = asked.split_whitespace().map(str::to_owned).collect();
    if asked.iter().all(|s| client.scopes.contains(s)) {
        return Ok(asked);
    }
    let problem = ApiError::of(
        Code::NotAuthorised,
        format!("This client may have: {}.", client.scopes.join(" ")),
        format!("Cette application peut avoir : {}.", client.scopes.join(" ")),
    );
    Err(("invalid_scope", problem))
}

fn invalid_client() -> Refused {
    let problem = ApiError::of(
        Code::InvalidClient,
        "Check client_id and client_secret.",
        "Vérifiez client_id et client_secret.",
    );
    ("invalid_client", problem)
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    // RFC 6749 §2.3.1: both are form-encoded before they are joined.
    Some((decoded(id), decoded(secret)))
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// 256 random bits.
fn random_token() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

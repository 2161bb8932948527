//! Refusals as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exchange_store::StoreError;
use exchange_store::content::ContentError;
use schemas::problem::{Code, Problem};
use uuid::Uuid;

use crate::engine::EngineError;
use crate::plaintext::PlainError;

/// A refusal on its way out.
#[derive(Debug)]
pub struct ApiError(pub Box<Problem>);

/// What every handler answers.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A refusal with its two sentences.
    #[must_use]
    pub fn of(code: Code, detail: impl Into<String>, detail_fr: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail, detail_fr)))
    }

    /// The same with an `instance` of its own.
    #[must_use]
    pub fn named(mut self) -> Self {
        if self.0.instance.is_empty() {
            self.0.instance = format!("urn:uuid:{}", Uuid::now_v7());
        }
        self
    }

    /// What does not exist here, or is not the caller's: nobody can tell the two apart.
    #[must_use]
    pub fn not_found() -> Self {
        Self::of(
            Code::NotFound,
            "It does not exist, or is not yours.",
            "Cet élément n'existe pas, ou n'est pas à vous.",
        )
    }

    /// A request that cannot be understood.
    #[must_use]
    pub fn invalid(detail: impl Into<String>, detail_fr: impl Into<String>) -> Self {
        Self::of(Code::InvalidRequest, detail, detail_fr)
    }

    /// A message that is not well formed.
    #[must_use]
    pub fn envelope(detail: impl Into<String>, detail_fr: impl Into<String>) -> Self {
        Self::of(Code::EnvelopeInvalid, detail, detail_fr)
    }
}

/// A cursor that this node did not give out.
#[must_use]
pub fn not_a_cursor() -> ApiError {
    ApiError::invalid(
        "`after` is not a cursor of this node.",
        "`after` n'est pas un curseur de ce nœud.",
    )
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.named().0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        tracing::debug!(code = %problem.code, detail = problem.detail, "refused");
        metrics::counter!("pli_refusals_total", "code" => problem.code.as_str()).increment(1);
        let mut response = (status, Json(&*problem)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if matches!(problem.status, 429 | 503) {
            headers.insert(header::RETRY_AFTER, problem.retry_after.unwrap_or(2).into());
        }
        if problem.status == 401 {
            let bearer = HeaderValue::from_static("Bearer realm=\"pli\"");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(e: EngineError) -> Self {
        if matches!(e, EngineError::Store(_) | EngineError::Seal(_)) {
            tracing::error!(error = %e, "nothing was accepted");
        }
        Self(Box::new(e.problem()))
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        EngineError::from(e).into()
    }
}

impl From<ContentError> for ApiError {
    fn from(e: ContentError) -> Self {
        tracing::error!(error = %e, "content storage");
        match e {
            ContentError::Missing(_) => Self::of(
                Code::Expired,
                "The content was erased; its proofs remain.",
                "Le contenu a été effacé ; ses preuves demeurent.",
            ),
            ContentError::Full(_) => Self::of(
                Code::StorageFull,
                "No room for documents; nothing was kept.",
                "Plus de place pour les documents ; rien n'a été gardé.",
            ),
            ContentError::Mismatch(_) | ContentError::Io(_) => Self::of(
                Code::Internal,
                "A document cannot be read or written.",
                "Un document ne peut être lu ou écrit.",
            ),
        }
    }
}

impl From<PlainError> for ApiError {
    fn from(e: PlainError) -> Self {
        match e {
            PlainError::Content(e) => e.into(),
            PlainError::Broken(error) => {
                tracing::error!(error, "a stored document does not open");
                Self::of(
                    Code::Internal,
                    "A stored document does not match its digest.",
                    "Un document conservé ne correspond pas à son empreinte.",
                )
            }
        }
    }
}

//! Directory, catalogue and the description of the interface.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchange_core::route::{Member, Search};
use schemas::api::{DirectoryParty, Page, PartyView};
use schemas::catalogue::Process;
use schemas::directory::Standing;
use schemas::ids::{Cog, ProcessCode};
use schemas::party::Party;
use serde::Deserialize;

use crate::access::Caller;
use crate::api::App;
use crate::api::error::{ApiError, ApiResult, not_a_cursor};
use crate::api::extract::{Path, Query};

/// What to look for.
#[derive(Debug, Deserialize)]
pub struct Look {
    q: Option<String>,
    cog: Option<Cog>,
    process: Option<ProcessCode>,
    after: Option<String>,
    limit: Option<usize>,
}

fn view(member: &Member<'_>) -> DirectoryParty {
    DirectoryParty {
        party: PartyView {
            party: member.entry.party.clone(),
            name: Some(member.entry.name.clone()),
        },
        cog: member.entry.cog.clone(),
        node: member.node.clone(),
        processes: member.entry.processes.clone(),
        active: member.entry.standing == Standing::Active,
    }
}

/// `GET /v1/directory/parties`
pub async fn parties(
    State(app): State<App>,
    _caller: Caller,
    Query(look): Query<Look>,
) -> ApiResult<Json<Page<DirectoryParty>>> {
    let limit = look.limit.unwrap_or(50).clamp(1, 200);
    let after = look.after.as_deref().map(place).transpose()?;
    let snapshot = app.node.directory.current();
    let search = Search {
        q: look.q.as_deref(),
        cog: look.cog.as_ref(),
        process: look.process.as_ref(),
        after: after.as_ref(),
        limit,
    };
    let found = snapshot.directory.search(&search);
    let last = found.last().filter(|_| found.len() >= limit);
    let next = last.map(|m| URL_SAFE_NO_PAD.encode(m.entry.party.key()));
    Ok(Json(Page { items: found.iter().map(view).collect(), next }))
}

/// Reads an opaque cursor: the last party of the page before.
fn place(after: &str) -> ApiResult<Party> {
    let key = URL_SAFE_NO_PAD.decode(after).ok().and_then(|b| String::from_utf8(b).ok());
    let party = key.and_then(|key| key.parse().ok());
    party.ok_or_else(not_a_cursor)
}

/// `GET /v1/directory/parties/{scheme}/{id}`
pub async fn party(
    State(app): State<App>,
    _caller: Caller,
    Path((scheme, id)): Path<(String, String)>,
) -> ApiResult<Json<DirectoryParty>> {
    let party = Party { scheme, id, service: None, desk: None };
    let snapshot = app.node.directory.current();
    let member = snapshot.directory.member(&party).ok_or_else(ApiError::not_found)?;
    Ok(Json(view(&member)))
}

/// A page of the catalogue.
#[derive(Debug, Deserialize)]
pub struct Turn {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/processes`, in the order of their codes.
pub async fn processes(
    State(app): State<App>,
    _caller: Caller,
    Query(turn): Query<Turn>,
) -> ApiResult<Json<Page<Process>>> {
    let after = turn.after.as_deref().map(code_after).transpose()?;
    let snapshot = app.node.directory.current();
    Ok(Json(page_of(&snapshot.catalogue.processes, after.as_deref(), turn.limit)))
}

fn page_of(all: &[Process], after: Option<&str>, limit: Option<usize>) -> Page<Process> {
    let limit = limit.unwrap_or(50).clamp(1, 200);
    let mut rest: Vec<&Process> =
        all.iter().filter(|p| after.is_none_or(|after| p.code.as_str() > after)).collect();
    rest.sort_by(|a, b| a.code.as_str().cmp(b.code.as_str()));
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|p| URL_SAFE_NO_PAD.encode(p.code.as_str()));
    Page { items: rest.into_iter().cloned().collect(), next }
}

/// Reads an opaque cursor: the last code of the page before.
fn code_after(after: &str) -> ApiResult<String> {
    let code = URL_SAFE_NO_PAD.decode(after).ok().and_then(|b| String::from_utf8(b).ok());
    code.filter(|code| code.parse::<ProcessCode>().is_ok()).ok_or_else(not_a_cursor)
}

/// `GET /v1/processes/{code}`
pub async fn process(
    State(app): State<App>,
    _caller: Caller,
    Path(code): Path<String>,
) -> ApiResult<Json<Process>> {
    let snapshot = app.node.directory.current();
    let found = snapshot.catalogue.processes.iter().find(|p| p.code.as_str() == code);
    found.cloned().map(Json).ok_or_else(ApiError::not_found)
}

/// `GET /openapi.json`
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], schemas::openapi()).into_response()
}

/// `GET /docs`: where to read on, without any script or foreign host.
pub async fn docs() -> Html<&'static str> {
    Html(include_str!("../../templates/docs.html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_stands_on_one_page_whatever_their_size() {
        let sample = schemas::sample::catalogue().processes.remove(0);
        let of = |code: &str| Process { code: code.parse().unwrap(), ..sample.clone() };
        let all: Vec<Process> = ["MDE", "AEC", "DUP", "CNI"].into_iter().map(of).collect();
        for limit in 1..=5 {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = page_of(&all, after.as_deref(), Some(limit));
                assert!(page.items.len() <= limit);
                seen.extend(page.items.iter().map(|p| p.code.to_string()));
                let Some(next) = page.next else { break };
                after = Some(code_after(&next).unwrap());
            }
            assert_eq!(seen, ["AEC", "CNI", "DUP", "MDE"], "pages of {limit}");
        }
        assert!(code_after("!").is_err());
    }
}

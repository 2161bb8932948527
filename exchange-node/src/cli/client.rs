//! A member's side of the REST interface: token, calls, problems as failures.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use schemas::api::Token;
use schemas::digest::Digest;
use schemas::problem::Problem;
use serde::de::DeserializeOwned;
use signing::digest::Sha256Stream;
use tokio::io::AsyncWriteExt as _;

use super::{Failure, Lang, Text, text};
use crate::localnet::description::Description;

/// Which member speaks, and to which node.
#[derive(Clone, Debug, Args)]
pub(super) struct Member {
    /// URL of the node
    #[arg(long, env = "PLI_URL", value_name = "URL")]
    url: Option<String>,
    /// OAuth2 client of the member
    #[arg(long, env = "PLI_CLIENT_ID", value_name = "ID")]
    client_id: Option<String>,
    /// Secret of the client; better in the environment or in a file than on a command line
    #[arg(long, env = "PLI_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    client_secret: Option<Secret>,
    /// File that holds the secret of the client
    #[arg(long, env = "PLI_CLIENT_SECRET_FILE", value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Directory of a localnet, to take URL and client from
    #[arg(long, env = "PLI_NET", value_name = "DIR")]
    net: Option<PathBuf>,
    /// NODE/MEMBER of that localnet; the member by SIRET, COG code or client id
    #[arg(long = "as", env = "PLI_AS", value_name = "NODE/MEMBER")]
    member: Option<String>,
}

/// A secret that no debug output shows.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

const WHICH: Text = text(
    "say which member of the localnet: --as NODE/MEMBER",
    "indiquez quel membre du réseau local : --as NŒUD/MEMBRE",
);
const NO_MEMBER: Text =
    text("no member {0} in this localnet; there are {1}", "pas de membre {0} ici ; il y a {1}");
const WHO: Text = text(
    "say who you are: --url, --client-id and --client-secret (or -file), or --net and --as",
    "indiquez qui vous êtes : --url, --client-id et --client-secret (ou -file), ou --net et --as",
);

/// An authenticated connection to a node.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Member {
    /// Gets a token.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let (url, id, secret) = self.credentials()?;
        Client::connect(&url, &id, &secret).await
    }

    fn credentials(&self) -> anyhow::Result<(String, String, String)> {
        let lang = Lang::from_environment();
        if let Some(net) = &self.net {
            let address = self.member.as_deref();
            let address = address.ok_or_else(|| Failure::usage(WHICH.of(lang)))?;
            let network = Description::read(net)?;
            let Some((node, member)) = network.member(address) else {
                let all = network.addresses().join(", ");
                return Err(Failure::usage(NO_MEMBER.fill(lang, &[&address, &all])));
            };
            return Ok((node.url.clone(), member.client_id.clone(), member.client_secret.clone()));
        }
        let secret = match (&self.client_secret, &self.client_secret_file) {
            (Some(Secret(secret)), _) => Some(secret.clone()),
            (None, Some(file)) => {
                Some(std::fs::read_to_string(file).with_context(|| file.display().to_string())?)
            }
            (None, None) => None,
        };
        let (Some(url), Some(id), Some(secret)) = (&self.url, &self.client_id, secret) else {
            return Err(Failure::usage(WHO.of(lang)));
        };
        Ok((url.trim_end_matches('/').to_owned(), id.clone(), secret.trim().to_owned()))
    }
}

impl Client {
    /// Gets a token for a client.
    pub(super) async fn connect(url: &str, id: &str, secret: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::new();
        let form = [("grant_type", "client_credentials")];
        let request = http.post(format!("{url}/oauth2/token")).basic_auth(id, Some(secret));
        let answer = request.form(&form).send().await;
        let answer = answer.with_context(|| format!("{url} does not answer"))?;
        let token: Token = parsed(answer).await?;
        Ok(Self { http, url: url.to_owned(), token: token.access_token })
    }

    /// A request to a path below the node's URL.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// The JSON at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        parsed(self.request(Method::GET, path).send().await?).await
    }

    /// The JSON at a path with a query.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        query: impl Iterator<Item = (&'static str, String)>,
    ) -> anyhow::Result<T> {
        let query: Vec<_> = query.collect();
        parsed(self.request(Method::GET, path).query(&query).send().await?).await
    }

    /// The bytes at a path.
    pub(super) async fn bytes(&self, path: &str, accept: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.request(Method::GET, path).header("Accept", accept);
        let answer = checked(request.send().await?).await?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// Posts JSON and reads JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<T> {
        parsed(self.request(Method::POST, path).json(body).send().await?).await
    }

    /// Writes the answer of a path into a file, as it comes; its digest and size. What breaks off
    /// leaves no file.
    pub(super) async fn save(&self, path: &str, file: &Path) -> anyhow::Result<(Digest, u64)> {
        let mut answer = checked(self.request(Method::GET, path).send().await?).await?;
        let beside = file.with_added_extension("part");
        let mut out = tokio::fs::File::create(&beside)
            .await
            .with_context(|| format!("cannot write {}", beside.display()))?;
        let (mut digest, mut size) = (Sha256Stream::new(), 0);
        while let Some(chunk) = answer.chunk().await? {
            size += chunk.len() as u64;
            digest.update(&chunk);
            out.write_all(&chunk).await?;
        }
        out.sync_all().await?;
        tokio::fs::rename(&beside, file).await?;
        Ok((digest.finish(), size))
    }
}

/// The answer, or the problem that it is.
pub(super) async fn checked(answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await?;
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if status != StatusCode::INTERNAL_SERVER_ERROR => {
            Err(Failure::Refused(Box::new(problem)).into())
        }
        _ => anyhow::bail!("{status}: {}", String::from_utf8_lossy(&body)),
    }
}

/// The JSON of an answer, or the problem that it is.
pub(super) async fn parsed<T: DeserializeOwned>(answer: Response) -> anyhow::Result<T> {
    Ok(checked(answer).await?.json().await?)
}

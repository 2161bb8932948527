//! A network of real processes for one test. It is taken down when the test ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::services::last_lines;

/// Longest wait for something that should happen at once.
pub const SOON: Duration = Duration::from_secs(30);

/// Skips a test, saying so where the closing line counts it.
pub fn skipped(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
}

/// The binary under test, beside the test's own.
///
/// # Errors
/// It was not built.
pub fn pli() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let built = here.ancestors().skip(1).map(|dir| dir.join("pli")).find(|file| file.is_file());
    built.context("build it first: cargo build -p exchange-node")
}

/// A running network.
#[derive(Debug)]
pub struct Net {
    pli: PathBuf,
    home: TempDir,
    env: Vec<(String, String)>,
}

impl Net {
    /// The default network, embedded.
    ///
    /// # Errors
    /// It does not come up.
    pub fn up() -> Result<Self> {
        Self::up_with(&[])
    }

    /// The default network with options of `pli localnet up`.
    ///
    /// # Errors
    /// It does not come up.
    pub fn up_with(options: &[&str]) -> Result<Self> {
        let net = Self { pli: pli()?, home: tempfile::tempdir()?, env: Vec::new() };
        net.start(options)?;
        Ok(net)
    }

    /// A network of another build of `pli`; see [`Net::upgrade`].
    ///
    /// # Errors
    /// It does not come up.
    pub fn up_of(pli: PathBuf, options: &[&str]) -> Result<Self> {
        let net = Self { pli, home: tempfile::tempdir()?, env: Vec::new() };
        net.start(options)?;
        Ok(net)
    }

    /// From now on, what starts is the binary under test.
    ///
    /// # Errors
    /// It was not built.
    pub fn upgrade(&mut self) -> Result<()> {
        self.pli = pli()?;
        Ok(())
    }

    /// A network below `place`, its processes with these variables of the environment.
    ///
    /// # Errors
    /// It does not come up.
    pub fn up_at(place: &Path, env: &[(&str, &str)], options: &[&str]) -> Result<Self> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let net = Self { pli: pli()?, home: tempfile::tempdir_in(place)?, env };
        net.start(options)?;
        Ok(net)
    }

    /// Gives a variable to the environment of what starts from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Starts what is not running.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(&self, options: &[&str]) -> Result<()> {
        let dir = self.dir().display().to_string();
        let args = [&["localnet", "up", "--dir", &dir, "--detach"], options].concat();
        let output = self.run(&args)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs `pli` in English.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        let env = self.env.iter().map(|(name, value)| (name, value));
        Ok(Command::new(&self.pli).args(args).env("PLI_LANG", "en").envs(env).output()?)
    }

    /// `kill -9` of a node, or of `tsa`.
    ///
    /// # Errors
    /// There is no such process.
    pub fn kill(&self, name: &str) -> Result<()> {
        let dir = self.dir().display().to_string();
        let output = self.run(&["localnet", "kill", name, "--dir", &dir])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs a verb of an operator on a node.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn operate(&self, node: &str, args: &[&str]) -> Result<Output> {
        let config = self.dir().join(node).join("node.toml").display().to_string();
        self.run(&[args, &["--config", &config]].concat())
    }

    /// The auditor's opinion of a node.
    ///
    /// # Errors
    /// It finds something.
    pub fn fsck(&self, node: &str) -> Result<()> {
        let config = self.dir().join(node).join("node.toml").display().to_string();
        let output = self.run(&["fsck", "--config", &config])?;
        ensure!(output.status.success(), "{node}: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// Directory of the network.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("net")
    }

    /// Anchor of seals.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir().join("trust/root.pem")
    }

    /// `localnet.json`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn description(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.dir().join("localnet.json"))?)?)
    }

    /// A member as a client of its node.
    ///
    /// # Errors
    /// There is no such member, or it gets no token.
    pub async fn member(&self, node: usize, member: usize) -> Result<Api> {
        let description = self.description()?;
        let at = |pointer: String| {
            description.pointer(&pointer).and_then(Value::as_str).map(str::to_owned)
        };
        let field = |name: &str| {
            at(format!("/nodes/{node}/members/{member}/{name}")).context("no such member")
        };
        let url = at(format!("/nodes/{node}/url")).context("no such node")?;
        Api::connect(&url, &field("client_id")?, &field("client_secret")?, field("id")?).await
    }

    /// A member as a client of a further process of its node, from 0.
    ///
    /// # Errors
    /// As [`Net::member`].
    pub async fn member_at(&self, node: usize, replica: usize, member: usize) -> Result<Api> {
        let description = self.description()?;
        let at = |path: String| text_at(&description, &format!("/nodes/{node}/{path}"));
        let field = |name: &str| at(format!("members/{member}/{name}"));
        let url = at(format!("replicas/{replica}/url"));
        Api::connect(&url, &field("client_id"), &field("client_secret"), field("id")).await
    }

    /// `etat`: a national administration.
    ///
    /// # Errors
    /// As [`Net::member`].
    pub async fn state(&self) -> Result<Api> {
        self.member(0, 0).await
    }

    /// Montpellier, hosted by `cd-34`.
    ///
    /// # Errors
    /// As [`Net::member`].
    pub async fn town(&self) -> Result<Api> {
        self.member(1, 0).await
    }

    /// Saint-Guilhem-le-Désert, hosted by `cd-34`.
    ///
    /// # Errors
    /// As [`Net::member`].
    pub async fn village(&self) -> Result<Api> {
        self.member(1, 1).await
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let dir = self.dir().display().to_string();
        if std::thread::panicking() {
            for log in ["cd-34/log", "etat/log"] {
                let text = std::fs::read_to_string(self.dir().join(log)).unwrap_or_default();
                eprintln!("--- {log}\n{}", last_lines(&text, 40));
            }
        }
        let _ = self.run(&["localnet", "down", "--dir", &dir]);
    }
}

/// A member's HTTP client. It knows `interfaces.md` and nothing of our types.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    /// URL of the node.
    pub url: String,
    /// SIRET of the member.
    pub siret: String,
    token: String,
}

/// An answer: status and JSON.
pub type Answer = (StatusCode, Value);

impl Api {
    async fn connect(url: &str, id: &str, secret: &str, siret: String) -> Result<Self> {
        let http = reqwest::Client::new();
        let form = [("grant_type", "client_credentials")];
        let request = http.post(format!("{url}/oauth2/token")).basic_auth(id, Some(secret));
        let token: Value = request.form(&form).send().await?.error_for_status()?.json().await?;
        let token = token.pointer("/access_token").and_then(Value::as_str);
        let token = token.context("no token")?.to_owned();
        Ok(Self { http, url: url.to_owned(), siret, token })
    }

    /// A request.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// Sends a request and reads JSON.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    pub async fn answer(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    /// JSON at a path.
    ///
    /// # Errors
    /// Anything but success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, json) = self.answer(self.request(Method::GET, path)).await?;
        ensure!(status.is_success(), "{path}: {status} {json}");
        Ok(json)
    }

    /// Bytes at a path.
    ///
    /// # Errors
    /// Anything but success.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.request(Method::GET, path).send().await?.error_for_status()?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    /// Uploads a document; whatever the answer.
    ///
    /// # Errors
    /// No answer.
    pub async fn upload(&self, name: &str, media: &str, content: &[u8]) -> Result<Answer> {
        let disposition = format!("attachment; filename*=UTF-8''{name}");
        let request = self
            .request(Method::POST, "/v1/documents")
            .header("Content-Type", media)
            .header("Content-Disposition", disposition)
            .body(content.to_vec());
        self.answer(request).await
    }

    /// Uploads a small PDF and gives its id.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn pdf(&self, text: &str) -> Result<String> {
        let content = format!("%PDF-1.4\n{text}\n%%EOF\n");
        let (status, json) = self.upload("acte.pdf", "application/pdf", content.as_bytes()).await?;
        ensure!(status == StatusCode::CREATED, "{status} {json}");
        Ok(text_at(&json, "/id"))
    }

    /// Sends a message; whatever the answer.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(&self, message: &Value) -> Result<Answer> {
        self.post("/v1/messages", message).await
    }

    /// Sends one PDF to a commune and gives the message.
    ///
    /// # Errors
    /// It was refused.
    pub async fn send_pdf(&self, cog: &str, text: &str) -> Result<Value> {
        let id = self.pdf(text).await?;
        let body = json!({
            "recipients": [{ "cog": cog }], "process": "AEC", "documents": [{ "id": id }],
        });
        let (status, json) = self.send(&body).await?;
        ensure!(status == StatusCode::CREATED, "{status} {json}");
        Ok(json)
    }

    /// One text of each item of the inbox, such as `/message_id`, over all of its pages, in order.
    ///
    /// # Errors
    /// A page is not to be had, or is none.
    pub async fn inbox(&self, text: &str) -> Result<Vec<String>> {
        let (mut all, mut after) = (Vec::new(), "s0".to_owned());
        loop {
            let page = self.get(&format!("/v1/inbox?limit=200&after={after}")).await?;
            let items = page.pointer("/items").and_then(Value::as_array).context("no items")?;
            all.extend(items.iter().map(|item| text_at(item, text)));
            match page.pointer("/next").and_then(Value::as_str) {
                Some(next) => after = next.to_owned(),
                None => return Ok(all),
            }
        }
    }

    /// Waits until an item of the inbox belongs to a message; looks without taking.
    ///
    /// # Errors
    /// It does not come.
    pub async fn wait_for(&self, message: &str) -> Result<Value> {
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            let mut after = "s0".to_owned();
            loop {
                let page = self.get(&format!("/v1/inbox?wait=1&limit=200&after={after}")).await?;
                let items = page.pointer("/items").and_then(Value::as_array);
                let mut items = items.into_iter().flatten();
                if let Some(item) = items.find(|i| text_at(i, "/message_id") == message) {
                    return Ok(item.clone());
                }
                match page.pointer("/next").and_then(Value::as_str) {
                    Some(next) => after = next.to_owned(),
                    None => break,
                }
            }
        }
        bail!("{message} did not arrive")
    }

    /// Waits until a sent message satisfies a condition.
    ///
    /// # Errors
    /// It never does.
    pub async fn until(&self, message: &str, what: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + SOON;
        loop {
            let now = self.get(&format!("/v1/messages/{message}")).await?;
            if what(&now) {
                return Ok(now);
            }
            ensure!(Instant::now() < end, "never: {now}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Saves the bundle of a message.
    ///
    /// # Errors
    /// There is none.
    pub async fn proof(&self, message: &str, file: &Path) -> Result<()> {
        std::fs::write(file, self.bytes(&format!("/v1/messages/{message}/proof")).await?)?;
        Ok(())
    }
}

/// A text inside JSON; empty when it is not there.
#[must_use]
pub fn text_at(json: &Value, pointer: &str) -> String {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// State of the first delivery.
#[must_use]
pub fn state(message: &Value) -> String {
    text_at(message, "/deliveries/0/state")
}

/// ETSI names of the evidence of the first delivery.
#[must_use]
pub fn events(message: &Value) -> Vec<String> {
    let steps = message.pointer("/deliveries/0/evidence").and_then(Value::as_array);
    steps.into_iter().flatten().map(|s| text_at(s, "/event")).collect()
}

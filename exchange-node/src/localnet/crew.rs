//! The processes of a network: what each is called, how it is started, when it is ready.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use schemas::ids::NodeId;

use super::description::Description;
use super::process::{Process, tail};

/// Longest wait for a process to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place that a process fills.
#[derive(Clone, Debug)]
pub struct Post {
    /// `tsa`, `NODE`, or `NODE.2` for its second replica.
    pub name: String,
    /// The node, none for the timestamp authority.
    pub node: Option<NodeId>,
    /// Where its record and its log lie.
    home: PathBuf,
    /// `""`, or `-2` for a second replica.
    suffix: String,
    args: Vec<String>,
    /// Answers with success when the process is ready.
    pub ready: String,
}

/// All posts, in the order in which they are started: authority, then nodes.
///
/// # Errors
/// A path is not UTF-8.
pub fn posts(dir: &Path, description: &Description) -> anyhow::Result<Vec<Post>> {
    let mut all = vec![tsa(dir, &description.tsa_url)?];
    for node in &description.nodes {
        let first = (node.url.as_str(), node.config.as_path());
        let rest = node.replicas.iter().map(|r| (r.url.as_str(), r.config.as_path()));
        for (i, (url, config)) in std::iter::once(first).chain(rest).enumerate() {
            let number = i + 1;
            let (name, suffix) = match number {
                1 => (node.id.to_string(), String::new()),
                n => (format!("{}.{n}", node.id), format!("-{n}")),
            };
            let args = ["node", "run", "--config", utf8(&dir.join(config))?].map(str::to_owned);
            all.push(Post {
                name,
                node: Some(node.id.clone()),
                home: dir.join(node.id.as_str()),
                suffix,
                args: args.to_vec(),
                ready: format!("{url}/health/ready"),
            });
        }
    }
    Ok(all)
}

fn tsa(dir: &Path, url: &str) -> anyhow::Result<Post> {
    let url = url.trim_end_matches('/');
    let listen = url.trim_start_matches("http://");
    let (home, crls) = (dir.join("tsa"), dir.join("authority/published/tsa"));
    let args = ["tsa", "serve", "--dir", utf8(&home)?, "--crls", utf8(&crls)?, "--listen", listen];
    Ok(Post {
        name: "tsa".to_owned(),
        node: None,
        suffix: String::new(),
        args: args.map(str::to_owned).to_vec(),
        ready: format!("{url}/health/live"),
        home,
    })
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

impl Post {
    /// Whether a call that names `name` means this post: a node's name means all its replicas,
    /// `NODE.1` the first of them alone.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        let Some(node) = &self.node else { return self.name == name };
        let first = self.suffix.is_empty() && name.strip_suffix(".1") == Some(node.as_str());
        first || self.name == name || node.as_str() == name
    }

    /// The process that fills it now.
    #[must_use]
    pub fn alive(&self) -> Option<Process> {
        Process::recall(&self.record()).filter(Process::is_alive)
    }

    /// Starts a process unless one is alive.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ensure_running(&self, program: &Path) -> anyhow::Result<()> {
        if self.alive().is_some() {
            return Ok(());
        }
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let (process, mut child) = Process::start(program, &args, &self.log())?;
        process.record(&self.record())?;
        // Buried when it dies while we are still here; otherwise init does it.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    fn record(&self) -> PathBuf {
        self.home.join(format!("process{}.json", self.suffix))
    }

    fn log(&self) -> PathBuf {
        self.home.join(format!("log{}", self.suffix))
    }
}

/// Waits until a post is ready.
///
/// # Errors
/// It died or takes too long; with the end of its log.
pub async fn wait(post: &Post) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    loop {
        let alive = post.alive().is_some();
        let answer = http.get(&post.ready).send().await;
        // Somebody else may answer on the port of a process that could not have it.
        if alive && answer.is_ok_and(|a| a.status().is_success()) && post.alive().is_some() {
            return Ok(());
        }
        if !alive || Instant::now() > end {
            let why = if alive { "is not ready" } else { "died" };
            bail!("{} {why}; the end of its log:\n{}", post.name, tail(&post.log(), 12));
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

impl Description {
    /// Sets every pid to what is alive now.
    pub fn note_pids(&mut self, posts: &[Post]) {
        let pid = |name: &str| {
            posts.iter().find(|p| p.name == name).and_then(Post::alive).map(|p| p.pid())
        };
        self.tsa_pid = pid("tsa");
        for node in &mut self.nodes {
            node.pid = pid(node.id.as_str());
            for (i, replica) in node.replicas.iter_mut().enumerate() {
                replica.pid = pid(&format!("{}.{}", node.id, i + 2));
            }
        }
    }
}

//! A controller for tests. What it says is what a live one said: it answers from the recorded
//! exchanges in `integration/recordings/rest`, cut by `tree` as the controller cuts. An answer of
//! another shape is made by [`Reply::assumed`], which names what it rests on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::name::percent_decoded;
use super::tree;

/// A recorded exchange.
pub struct Recording {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub reply: Reply,
}

/// A request as the stub saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub tree: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Never ends.
    pub hangs: bool,
    /// Announces more than it sends.
    pub is_cut: bool,
}

/// Reads a recording by its number.
pub fn recording(number: u32) -> Recording {
    let directory =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../integration/recordings/rest"));
    let file = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&format!("{number:02}-"))
        })
        .unwrap();
    let read: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (path, query) = match read["request"]["path"].as_str().unwrap().split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (read["request"]["path"].as_str().unwrap().to_owned(), None),
    };
    let headers = read["response"]["headers"].as_array().unwrap();
    let reply = Reply {
        status: u16::try_from(read["response"]["status"].as_u64().unwrap()).unwrap(),
        headers: headers
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            // The stub sends whole answers, whatever the controller did, and the recorded length
            // is that of a page before it was cut.
            .filter(|(name, _)| !matches!(name.as_str(), "Transfer-Encoding" | "Content-Length"))
            .collect(),
        body: text(&read["response"]["body"]),
        ..Reply::default()
    };
    Recording { method: text(&read["request"]["method"]), path, query, reply }
}

impl Recording {
    /// Its answer, cut by a `tree`.
    pub fn cut(&self, tree: Option<&str>) -> Reply {
        let mut reply = self.reply.clone();
        if let Some(tree) = tree {
            let whole: Value = serde_json::from_str(&reply.body).unwrap();
            reply.body = prune(&whole, tree).to_string();
        }
        reply
    }
}

impl Reply {
    /// An answer that no recording has. `source` says why a controller, or something in front of
    /// it, may give it.
    pub fn assumed(source: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        assert!(source.contains('.'), "an assumption names its source");
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self { status, headers: headers.collect(), body: body.to_owned(), ..Self::default() }
    }

    /// The same with another JSON body.
    pub fn with_json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running stub.
pub struct Stub {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    most: Arc<AtomicUsize>,
}

impl Stub {
    /// Answers each request by a function.
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let most = Arc::new(AtomicUsize::new(0));
        let now = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let (log, peak) = (Arc::clone(&seen), Arc::clone(&most));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let (peak, now) = (Arc::clone(&peak), Arc::clone(&now));
                tokio::spawn(async move {
                    peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    serve(stream, |request| {
                        log.lock().unwrap().push(request.clone());
                        answer(request)
                    })
                    .await;
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, seen, most }
    }

    /// Answers from recordings; 404, as recorded, for what none of them has.
    pub async fn recorded(numbers: &[u32]) -> Self {
        let all: Vec<Recording> = numbers.iter().map(|number| recording(*number)).collect();
        let missing = recording(8).reply;
        Self::start(move |request| {
            all.iter()
                .find(|one| one.method == request.method && one.path == request.path)
                .map_or_else(|| missing.clone(), |one| one.cut(request.tree.as_deref()))
        })
        .await
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests for a path that ends so.
    pub fn count(&self, end: &str) -> usize {
        self.requests().iter().filter(|request| request.path.ends_with(end)).count()
    }

    /// The most connections at the same time.
    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, answer: impl FnOnce(&Seen) -> Reply) {
    let mut head = Vec::new();
    let end = loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => head.extend_from_slice(&buffer[..length]),
        }
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
    };
    let text = String::from_utf8(head[..end].to_vec()).unwrap();
    let mut lines = text.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = head[end + 4..].to_vec();
    while body.len() < length {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => body.extend_from_slice(&buffer[..read]),
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let tree = query.split('&').find_map(|pair| pair.strip_prefix("tree=")).map(percent_decoded);
    let request = Seen {
        method,
        path: path.to_owned(),
        tree,
        headers,
        body: String::from_utf8(body).unwrap(),
    };
    let reply = answer(&request);
    if reply.hangs {
        // Until the client gives up.
        let _ = stream.read(&mut [0; 1]).await;
        return;
    }
    let announced = reply.body.len() + if reply.is_cut { 10 } else { 0 };
    let mut text = format!("HTTP/1.1 {} Status\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 304 {
        text.push_str(&format!("Content-Length: {announced}\r\n"));
    }
    text.push_str("Connection: close\r\n\r\n");
    text.push_str(&reply.body);
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Cuts JSON by a `tree` that can be read.
pub fn prune(value: &Value, by: &str) -> Value {
    tree::prune(value, by).unwrap()
}

//! A headless Chromium, told what to do over its DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Names that it is installed by.
const NAMES: [&str; 4] =
    ["chromium-headless-shell", "chromium", "google-chrome", "chromium-browser"];
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, where it is installed.
pub fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let named = |directory: PathBuf| {
        NAMES.iter().map(move |name| directory.join(name)).find(|file| file.is_file())
    };
    std::env::split_paths(&path).find_map(named)
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    _profile: TempDir,
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    last: u64,
    events: Vec<Value>,
}

impl Drop for Browser {
    /// The program may be a script that has started another one: its whole group ends.
    fn drop(&mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = id {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Browser {
    pub async fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-port=0", "--hide-scrollbars", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended: {said}"));
            if let Some(address) = line.strip_prefix("DevTools listening on ") {
                break address.to_owned();
            }
            said.push_str(&line);
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let host = address.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(&address, stream).await.unwrap();
        let mut browser =
            Self { child, _profile: profile, socket, session: None, last: 0, events: Vec::new() };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({})).await;
        }
        browser
    }

    async fn read(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.expect("the browser is silent").unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                _ => continue,
            }
        }
    }

    /// Calls a method; gives its result.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let answer = self.read().await;
            if answer["id"] == json!(id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Waits until a page is loaded, after something that loads one.
    async fn loaded(&mut self) {
        loop {
            let at = self.events.iter().position(|one| one["method"] == "Page.loadEventFired");
            if let Some(at) = at {
                self.events.remove(at);
                return;
            }
            let event = self.read().await;
            self.events.push(event);
        }
    }

    /// Goes to a page.
    pub async fn open(&mut self, url: &str) {
        self.events.retain(|one| one["method"] != "Page.loadEventFired");
        self.call("Page.navigate", json!({"url": url})).await;
        self.loaded().await;
    }

    /// Does something that leads to another page.
    pub async fn leave(&mut self, script: &str) {
        self.events.retain(|one| one["method"] != "Page.loadEventFired");
        self.run(script).await;
        self.loaded().await;
    }

    /// Runs a script in the page and waits for its promise.
    pub async fn run(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", asked).await;
        assert!(result.get("exceptionDetails").is_none(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&mut self, expression: &str) {
        let script = format!(
            "new Promise((done, failed) => {{ const end = Date.now() + 50000; const look = () => \
             ({expression}) ? done(true) : Date.now() > end ? failed(document.body.innerText) : \
             setTimeout(look, 50); look(); }})"
        );
        self.run(&script).await;
    }

    /// How wide the page is, and which colours its reader likes.
    pub async fn set(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Takes the network away, and gives it back.
    pub async fn cut(&mut self, is_cut: bool) {
        self.call("Network.enable", json!({})).await;
        let conditions = json!({"offline": is_cut, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.call("Network.emulateNetworkConditions", conditions).await;
    }

    /// What is wrong with the pages so far: errors on the console, exceptions, refused contents.
    pub fn errors(&mut self) -> Vec<String> {
        let wrong = |event: &Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        let found = self.events.iter().filter(|event| wrong(event)).map(Value::to_string).collect();
        self.events.clear();
        found
    }

    /// Takes a picture where somebody wants to look at it (`PILOTFISH_SCREENSHOTS`).
    pub async fn picture(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("PILOTFISH_SCREENSHOTS") else { return };
        let taken = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(taken["data"].as_str().unwrap())
            .unwrap();
        std::fs::write(Path::new(&directory).join(format!("{name}.png")), bytes).unwrap();
    }
}

//! A durable task as the plugin starts it.

use std::fs;
use std::path::{Path, PathBuf};

use jenkins_remoting::command::Outcome;

use super::callables as make;
use super::commands::user_request;
use super::connection::Connection;

/// The files of a task.
pub struct Task {
    pub directory: PathBuf,
}

impl Task {
    pub fn new(work: &Path, name: &str, script: &str) -> Self {
        let directory = work.join(format!("ws@tmp/durable-{name}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("script.sh"), script).unwrap();
        Self { directory }
    }

    pub async fn start(&self, connection: &mut Connection, id: i32) {
        self.start_with(connection, id, &["JOB_NAME=p", "BUILD_NUMBER=7"]).await;
    }

    pub async fn start_with(&self, connection: &mut Connection, id: i32, environment: &[&str]) {
        let d = self.directory.display();
        let script = format!(
            "({{ while [ -d '{d}' -a \\! -f '{d}/jenkins-result.txt' ]; do touch '{d}/jenkins-log.txt'; sleep 3; done }} & \
             sh -xe '{d}/script.sh' > '{d}/jenkins-log.txt' 2>&1; echo $$? > '{d}/jenkins-result.txt.tmp'; \
             mv '{d}/jenkins-result.txt.tmp' '{d}/jenkins-result.txt'; wait) >&- 2>&- &"
        );
        let request = make::launch(&["nohup", "sh", "-c", &script], environment, "/");
        connection.send(&user_request(id, &request)).await;
        let answer = connection.answer(id).await;
        assert!(matches!(answer, Outcome::Value(_)), "{answer:?}");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("jenkins-log.txt")).unwrap_or_default()
    }

    pub fn status(&self) -> Option<String> {
        fs::read_to_string(self.directory.join("jenkins-result.txt")).ok()
    }

    /// What the controller does once a task may be over; its log is complete then.
    pub async fn check(&self, connection: &mut Connection, id: i32) {
        const CHECK: &str = "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$StatusCheck";
        let path = self.directory.join("jenkins-result.txt");
        let request = make::on_file(CHECK, path.to_str().unwrap());
        connection.send(&user_request(id, &request)).await;
        connection.answer(id).await;
    }
}

//! Reads many jobs: names first, then pages of jobs, then `config.xml` where the JSON does not have
//! everything. At the end each job that was named is read, or the reading has failed.

mod details;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use super::cache::Cache;
use super::client::Client;
use super::error::RestError;
use super::json::{FolderJson, JobJson};
use super::model::Job;
use super::name::JobName;
use super::progress::{Progress, ProgressSink};
use super::scope::Scope;
use tasks::{Done, Task, run};

/// The most folders inside each other. Names are bounded too; this bounds a controller that lies.
const FOLDER_DEPTH: usize = 64;
/// The most jobs of one reading.
const JOBS: usize = 500_000;

/// How jobs are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Jobs of one request. A page is halved where it is too much for the controller.
    pub page_size: usize,
    /// Whether `config.xml` is read where the JSON does not have everything.
    pub config_xml: bool,
    /// How long details from `config.xml` are used again while the JSON of the job stays the same.
    pub max_age: Duration,
    /// The time that ages are counted to.
    pub now: SystemTime,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            page_size: 50,
            config_xml: true,
            max_age: Duration::from_secs(24 * 3600),
            now: SystemTime::now(),
        }
    }
}

/// What was read.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Inventory {
    /// The jobs, by name.
    pub jobs: Vec<Job>,
    /// Folders and jobs that were named but could not be read, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
    /// What it took.
    #[serde(skip)]
    pub statistics: Statistics,
}

/// What a reading took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Folders read.
    pub folders: usize,
    /// `config.xml` files read anew.
    pub configs_read: usize,
    /// Those that were the same as before, as the server said.
    pub configs_same: usize,
    /// Those that were not asked for, because nothing of the job had changed.
    pub configs_kept: usize,
    /// Requests, further tries included.
    pub requests: u64,
}

impl Inventory {
    /// Reads the jobs of a scope.
    ///
    /// # Errors
    /// The first [`RestError`] that concerns more than one job, or a job that the user named.
    /// Nothing of what was read is given out then, and the cache stays as it was.
    pub async fn read(
        client: &Client,
        scope: &Scope,
        cache: &mut Cache,
        options: &ReadOptions,
        sink: &ProgressSink,
    ) -> Result<Self, RestError> {
        let mut reading = Reading::new(client, scope, cache, options, sink);
        for name in &scope.starts {
            reading.waiting.push_back(Task::Look { name: name.clone(), start: true });
        }
        reading.work().await?;
        let Reading { read, details, skipped, mut statistics, .. } = reading;
        statistics.requests = client.counts().0;
        let everything = scope.starts.iter().any(JobName::is_root);
        for one in details {
            cache.put(one);
        }
        if everything {
            cache.keep(|name| read.contains_key(name));
        }
        Ok(Self { jobs: read.into_values().collect(), skipped, statistics })
    }
}

struct Reading<'a> {
    client: &'a Client,
    scope: &'a Scope,
    cache: &'a Cache,
    options: &'a ReadOptions,
    sink: &'a ProgressSink,
    waiting: VecDeque<Task>,
    /// Everything that a folder named, with the class of that folder.
    named: BTreeMap<JobName, Option<String>>,
    /// Folders that were looked into.
    folders: BTreeSet<JobName>,
    /// Those of them that are also among the named.
    inner_folders: usize,
    looked_at: BTreeSet<JobName>,
    read: BTreeMap<String, Job>,
    details: Vec<super::cache::Entry>,
    /// Jobs whose details are being read.
    under_way: usize,
    skipped: BTreeMap<String, String>,
    statistics: Statistics,
}

impl<'a> Reading<'a> {
    fn new(
        client: &'a Client,
        scope: &'a Scope,
        cache: &'a Cache,
        options: &'a ReadOptions,
        sink: &'a ProgressSink,
    ) -> Self {
        Self {
            client,
            scope,
            cache,
            options,
            sink,
            waiting: VecDeque::new(),
            named: BTreeMap::new(),
            folders: BTreeSet::new(),
            inner_folders: 0,
            looked_at: BTreeSet::new(),
            read: BTreeMap::new(),
            details: Vec::new(),
            under_way: 0,
            skipped: BTreeMap::new(),
            statistics: Statistics::default(),
        }
    }

    async fn work(&mut self) -> Result<(), RestError> {
        let mut running = FuturesUnordered::new();
        loop {
            // No more futures than requests: the rest of the work waits as small tasks.
            while running.len() < self.client.concurrency() {
                let Some(task) = self.waiting.pop_front() else { break };
                running.push(run(self.client, self.cache, self.options, task));
            }
            match running.next().await {
                Some(done) => self.take(done?)?,
                // Pages of a folder shift when a job in it comes or goes meanwhile. What was named
                // and is on no page is read by itself.
                None if !self.read_left_over() => return Ok(()),
                None => {}
            }
            self.tell();
        }
    }

    fn tell(&self) {
        let (requests, retries) = self.client.counts();
        self.sink.tell(Progress {
            folders: self.folders.len(),
            found: self.named.len() - self.inner_folders,
            read: self.read.len() - self.under_way.min(self.read.len()),
            requests,
            retries,
        });
    }

    fn take(&mut self, done: Done) -> Result<(), RestError> {
        match done {
            Done::Looked(name, folder) => self.looked(&name, folder),
            Done::Page(folder, class, page) => {
                for job in page.jobs {
                    let Some(name) = job.name() else { continue };
                    // A page never speaks of another folder.
                    if name.as_str()
                        == folder
                            .child(name.as_str().rsplit('/').next().unwrap_or_default())
                            .as_str()
                    {
                        self.found(name, job, class.as_deref());
                    }
                }
                Ok(())
            }
            Done::Single(name, class, job) => {
                if job.is_folder() || job.name().as_ref() == Some(&name) {
                    self.found(name, *job, class.as_deref());
                } else {
                    // It is not asked for again: it would be given the same answer for ever.
                    self.named.remove(&name);
                    let reason = "the controller answered with another job".to_owned();
                    self.skipped.insert(name.as_str().to_owned(), reason);
                }
                Ok(())
            }
            Done::Split(folder, class, range) => {
                let middle = range.start + range.len() / 2;
                for range in [range.start..middle, middle..range.end] {
                    let (folder, class) = (folder.clone(), class.clone());
                    self.waiting.push_front(Task::Page { folder, class, range });
                }
                Ok(())
            }
            Done::Detailed(details) => {
                self.under_way = self.under_way.saturating_sub(1);
                match details.origin {
                    details::Origin::Read => self.statistics.configs_read += 1,
                    details::Origin::Same => self.statistics.configs_same += 1,
                    details::Origin::Failed => {}
                }
                self.details.extend(details.entry);
                self.read.insert(details.job.name.clone(), details.job);
                Ok(())
            }
            Done::Skipped(name, error) => {
                // Gone since it was named is no failure; not readable is worth a word.
                if !matches!(error, RestError::Missing { .. }) {
                    self.skipped.insert(name.as_str().to_owned(), error.to_string());
                }
                self.named.remove(&name);
                Ok(())
            }
        }
    }

    fn looked(&mut self, name: &JobName, folder: FolderJson) -> Result<(), RestError> {
        // Once only: an answer that is now a folder and now none must not go round in circles.
        if !self.looked_at.insert(name.clone()) {
            self.folders.insert(name.clone());
            return Ok(());
        }
        let Some(jobs) = folder.jobs else {
            let single = Task::Single { name: name.clone(), class: None, start: true };
            self.waiting.push_back(single);
            return Ok(());
        };
        if !self.folders.insert(name.clone()) {
            return Ok(());
        }
        self.statistics.folders += 1;
        self.inner_folders += usize::from(self.named.contains_key(name));
        let depth = name.as_str().split('/').count();
        if depth > FOLDER_DEPTH || self.named.len() + jobs.len() > JOBS {
            return Err(RestError::Malformed {
                url: format!("{}{}", self.client.base(), name.path()),
                reason: format!(
                    "more than {JOBS} jobs or {FOLDER_DEPTH} folders inside each other"
                ),
            });
        }
        let size = self.options.page_size.max(1);
        for from in (0..jobs.len()).step_by(size) {
            self.waiting.push_back(Task::Page {
                folder: name.clone(),
                class: folder.class.clone(),
                range: from..(from + size).min(jobs.len()),
            });
        }
        for job in jobs {
            self.named.insert(name.child(&job.name), folder.class.clone());
        }
        Ok(())
    }

    fn found(&mut self, name: JobName, job: JobJson, folder_class: Option<&str>) {
        self.named.entry(name.clone()).or_insert_with(|| folder_class.map(str::to_owned));
        if job.is_folder() {
            if !self.folders.contains(&name) {
                self.waiting.push_back(Task::Look { name, start: false });
            }
            return;
        }
        if !self.scope.has(&name) {
            self.named.remove(&name);
            return;
        }
        if self.read.contains_key(name.as_str()) {
            return;
        }
        let Some(mut job) = job.into_job(folder_class) else {
            self.named.remove(&name);
            return;
        };
        if !self.options.config_xml || !details::are_needed(&mut job) {
            self.read.insert(job.name.clone(), job);
            return;
        }
        if let Some(kept) = details::kept(self.cache, &job, self.options) {
            self.statistics.configs_kept += 1;
            self.read.insert(job.name.clone(), kept);
            return;
        }
        // It stands here without its details until they come, so that nobody reads it twice.
        self.under_way += 1;
        self.read.insert(job.name.clone(), job.clone());
        self.waiting.push_back(Task::Details { job: Box::new(job) });
    }

    /// Asks for what was named and not found. False when there is nothing left.
    fn read_left_over(&mut self) -> bool {
        let left: Vec<_> = self
            .named
            .iter()
            .filter(|(name, _)| {
                !self.folders.contains(*name) && !self.read.contains_key(name.as_str())
            })
            .map(|(name, class)| Task::Single {
                name: name.clone(),
                class: class.clone(),
                start: false,
            })
            .collect();
        self.waiting.extend(left);
        !self.waiting.is_empty()
    }
}

//! Jobs and folders.

use serde_json::{Value, json};

use super::Level;
use super::journal::Line;
use super::routes::{Asked, cut, needs};
use super::state::{Job, Master, Shared};
use crate::shapes::{self, Answer};

/// The class of a folder.
const FOLDER: &str = "com.cloudbees.hudson.plugins.folder.Folder";
/// The class of a Pipeline.
const PIPELINE: &str = "org.jenkinsci.plugins.workflow.job.WorkflowJob";

/// The path of a job in an address.
pub(super) fn path(name: &str) -> String {
    let encode = |part: &str| -> String {
        part.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    name.split('/').map(|part| format!("job/{}/", encode(part))).collect()
}

/// A job in a list.
pub(super) fn brief(shared: &Shared, job: &Job) -> Value {
    let name = job.name.rsplit('/').next().unwrap_or_default();
    let url = format!("{}{}", shared.url, path(&job.name));
    if job.is_folder {
        return json!({"_class": FOLDER, "name": name, "fullName": job.name, "url": url});
    }
    json!({"_class": PIPELINE, "name": name, "fullName": job.name, "url": url, "color": "notbuilt"})
}

/// The names of the parameters that a definition declares, in order.
pub(super) fn declared(xml: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Every definition begins with its name; nothing else in a definition of a parameter is called so.
    let Some((_, after)) = xml.split_once("<parameterDefinitions>") else { return names };
    let Some((definitions, _)) = after.split_once("</parameterDefinitions>") else { return names };
    for piece in definitions.split("<name>").skip(1) {
        if let Some((name, _)) = piece.split_once("</name>") {
            names.push(name.to_owned());
        }
    }
    names
}

/// The default of a parameter.
pub(super) fn default(xml: &str, name: &str) -> String {
    let mark = format!("<name>{name}</name>");
    let Some((_, after)) = xml.split_once(&mark) else { return String::new() };
    let end = after.find("<name>").unwrap_or(after.len());
    let one = &after[..end];
    let Some((_, value)) = one.split_once("<defaultValue>") else { return String::new() };
    let value = value.split("</defaultValue>").next().unwrap_or_default();
    value
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

pub(super) fn create(shared: &Shared, asked: &Asked, folder: &str) -> Result<Answer, Answer> {
    needs(asked, Level::Full, "hudson.model.Item.Create")?;
    let name = asked.query.get("name").cloned().unwrap_or_default();
    // `jenkins.model.Jenkins.checkGoodName`.
    if let Some(bad) = name.chars().find(|one| "?*/\\%!@#$^&|<>[]:;".contains(*one)) {
        return Err(shapes::BAD_NAME
            .answer()
            .header("X-Error", format!("{bad}  is an unsafe character")));
    }
    if name.is_empty() {
        return Err(shapes::BAD_NAME.answer());
    }
    if !is_xml(&asked.body) {
        return Err(shapes::BAD_XML.answer());
    }
    let full = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
    let mut master = shared.lock();
    if master.jobs.contains_key(&full) {
        let message = format!("A job already exists with the name  {name} ");
        return Err(shapes::EXISTS.answer().header("X-Error", message));
    }
    if !folder.is_empty() && !master.jobs.get(folder).is_some_and(|job| job.is_folder) {
        return Err(shapes::MISSING.answer());
    }
    let is_folder = asked.body.contains(&format!("<{FOLDER}"));
    let job = Job { name: full.clone(), xml: asked.body.clone(), is_folder, next: 1 };
    shared.keep(&Line::Job(&job));
    master.jobs.insert(full, job);
    Ok(Answer::empty(200))
}

fn is_xml(text: &str) -> bool {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut seen) = (0_u32, false);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Start(_)) => (depth, seen) = (depth + 1, true),
            Ok(quick_xml::events::Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(quick_xml::events::Event::Empty(_)) => seen = true,
            Ok(quick_xml::events::Event::Eof) => return seen && depth == 0,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

pub(super) fn config(shared: &Shared, asked: &Asked, name: &str) -> Result<Answer, Answer> {
    let mut master = shared.lock();
    let Some(job) = master.jobs.get_mut(name) else { return Err(shapes::MISSING.answer()) };
    if asked.method == "GET" {
        needs(asked, Level::Full, "hudson.model.Item.ExtendedRead")?;
        let mut answer = Answer::empty(200).header("Content-Type", "application/xml");
        answer.body = job.xml.clone();
        return Ok(answer);
    }
    needs(asked, Level::Full, "hudson.model.Item.Configure")?;
    if !is_xml(&asked.body) {
        return Err(shapes::BAD_XML.answer());
    }
    job.xml.clone_from(&asked.body);
    shared.keep(&Line::Job(job));
    Ok(Answer::empty(200))
}

pub(super) fn delete(shared: &Shared, asked: &Asked, name: &str) -> Result<Answer, Answer> {
    needs(asked, Level::Full, "hudson.model.Item.Delete")?;
    let mut master = shared.lock();
    let inside = format!("{name}/");
    master.jobs.retain(|one, _| one != name && !one.starts_with(&inside));
    master.builds.retain(|(one, _), _| one != name && !one.starts_with(&inside));
    shared.keep(&Line::JobGone(name));
    Ok(Answer::empty(302).header("Location", "/"))
}

pub(super) fn json(shared: &Shared, asked: &Asked, name: &str) -> Result<Answer, Answer> {
    let master = shared.lock();
    let Some(job) = master.jobs.get(name) else { return Err(shapes::MISSING.answer()) };
    let whole =
        if job.is_folder { folder(shared, &master, job) } else { job_json(shared, &master, job) };
    Ok(cut(asked, shapes::JOB.answer(), &whole))
}

fn folder(shared: &Shared, master: &Master, folder: &Job) -> Value {
    let mut whole = brief(shared, folder);
    let inside = format!("{}/", folder.name);
    whole["jobs"] = master
        .jobs
        .values()
        .filter(|job| job.name.strip_prefix(&inside).is_some_and(|rest| !rest.contains('/')))
        .map(|job| brief(shared, job))
        .collect();
    whole
}

fn job_json(shared: &Shared, master: &Master, job: &Job) -> Value {
    let mut whole = shapes::JOB.json();
    let url = format!("{}{}", shared.url, path(&job.name));
    whole["name"] = Value::from(job.name.rsplit('/').next().unwrap_or_default());
    whole["fullName"] = Value::from(job.name.clone());
    whole["url"] = Value::from(url);
    whole["nextBuildNumber"] = Value::from(job.next);
    whole["inQueue"] = Value::from(master.waiting().any(|item| item.job == job.name));
    let parameters: Vec<Value> = declared(&job.xml)
        .into_iter()
        .map(|name| {
            let default = default(&job.xml, &name);
            json!({
                "_class": "hudson.model.StringParameterDefinition",
                "defaultParameterValue": {"_class": "hudson.model.StringParameterValue", "name": name, "value": default},
                "description": "", "name": name, "type": "StringParameterDefinition",
            })
        })
        .collect();
    whole["property"] = if parameters.is_empty() {
        json!([])
    } else {
        json!([{"_class": "hudson.model.ParametersDefinitionProperty", "parameterDefinitions": parameters}])
    };
    let range = (job.name.clone(), 0)..=(job.name.clone(), u64::MAX);
    whole["builds"] = master
        .builds
        .range(range)
        .rev()
        .map(|(_, build)| super::builds::json(shared, build))
        .collect();
    whole
}

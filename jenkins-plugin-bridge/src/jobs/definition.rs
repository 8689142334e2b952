//! The definition of a job at a master: what is written, and what a file that was read back means.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::model::JobSpec;

/// The same script for every job.
pub const SCRIPT: &str = "@Library('pilotfish') _\npilotfish()\n";
/// Begins the line of a description that says whose a job is.
const MARK: &str = "pilotfish-managed: ";
/// What the bridge tells a build.
pub const OWN_PARAMETERS: [(&str, &str); 4] = [
    ("PILOTFISH_PLAN", "Digest of the plan. Set by the bridge."),
    ("PILOTFISH_BUILD_ID", "The build of the bridge. Set by the bridge."),
    ("PILOTFISH_BUILD_KEY", "The attempt that counts. Set by the bridge."),
    ("PILOTFISH_BUILD_NUMBER", "Number over all masters. Set by the bridge."),
];
/// The class of a text parameter.
const STRING: &str = "hudson.model.StringParameterDefinition";
/// The same for text of several lines.
const TEXT: &str = "hudson.model.TextParameterDefinition";
/// The most elements inside each other.
const DEPTH: usize = 64;
/// The most texts of a file that are kept.
const TEXTS: usize = 20_000;

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\r' => escaped.push_str("&#13;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn described(description: &str, name: &str) -> String {
    let mut text = description.trim().to_owned();
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = write!(text, "Kept in step by Pilotfish: change it there.\n{MARK}{name}");
    text
}

/// The definition of a folder.
#[must_use]
pub fn folder(name: &str) -> String {
    format!(
        "<?xml version='1.1' encoding='UTF-8'?>\n\
         <com.cloudbees.hudson.plugins.folder.Folder plugin=\"cloudbees-folder\">\n  \
         <description>{}</description>\n</com.cloudbees.hudson.plugins.folder.Folder>\n",
        escape(&described("", name))
    )
}

/// The definition of a job. It has no triggers: they would fire once at each master.
#[must_use]
pub fn job(spec: &JobSpec) -> String {
    let mut parameters = String::new();
    for (name, default, description) in parameters_of(spec) {
        let class = if default.contains('\n') { TEXT } else { STRING };
        let _ = write!(
            parameters,
            "        <{class}>\n          <name>{}</name>\n          <description>{}</description>\n          \
             <defaultValue>{}</defaultValue>\n          <trim>false</trim>\n        </{class}>\n",
            escape(name),
            escape(description),
            escape(default)
        );
    }
    format!(
        "<?xml version='1.1' encoding='UTF-8'?>\n<flow-definition plugin=\"workflow-job\">\n  \
         <description>{}</description>\n  <keepDependencies>false</keepDependencies>\n  <properties>\n    \
         <hudson.model.ParametersDefinitionProperty>\n      <parameterDefinitions>\n{parameters}      \
         </parameterDefinitions>\n    </hudson.model.ParametersDefinitionProperty>\n  </properties>\n  \
         <definition class=\"org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition\" plugin=\"workflow-cps\">\n    \
         <script>{}</script>\n    <sandbox>true</sandbox>\n  </definition>\n  <triggers/>\n  \
         <disabled>false</disabled>\n</flow-definition>\n",
        escape(&described(&spec.description, &spec.name)),
        escape(SCRIPT)
    )
}

fn parameters_of(spec: &JobSpec) -> Vec<(&str, &str, &str)> {
    let own = OWN_PARAMETERS.iter().map(|(name, description)| (*name, "", *description));
    let all = spec.parameters.iter();
    own.chain(
        all.map(|(name, one)| (name.as_str(), one.default.as_str(), one.description.as_str())),
    )
    .collect()
}

/// What a definition means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The root element.
    pub root: String,
    /// The name that its mark has; nothing where there is no mark.
    pub marked: Option<String>,
    /// Its description.
    pub description: String,
    /// Its script; nothing where it is not in the file.
    pub script: Option<String>,
    /// Whether the script runs in the sandbox.
    pub sandbox: bool,
    /// It starts no builds.
    pub disabled: bool,
    /// Parameters: class, default and description by name.
    pub parameters: BTreeMap<String, (String, String, String)>,
    /// What starts builds by itself.
    pub triggers: Vec<String>,
}

/// Reads a definition.
///
/// # Errors
/// What is wrong with the XML.
pub fn read(xml: &str) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    let mut parameter: BTreeMap<String, String> = BTreeMap::new();
    walk(xml, |path, text| {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names.as_slice() {
            [root] => meaning.root = (*root).to_owned(),
            [_, "description"] => meaning.description = text.to_owned(),
            [_, "disabled"] => meaning.disabled = text.trim() == "true",
            [_, "definition", "script"] => meaning.script = Some(text.to_owned()),
            [_, "definition", "sandbox"] => meaning.sandbox = text.trim() == "true",
            [_, "triggers", class]
            | [
                _,
                "properties",
                "org.jenkinsci.plugins.workflow.job.properties.PipelineTriggersJobProperty",
                "triggers",
                class,
            ] => meaning.triggers.push((*class).to_owned()),
            [_, "properties", _, "parameterDefinitions", _, field] => {
                parameter.insert((*field).to_owned(), text.to_owned());
            }
            [_, "properties", _, "parameterDefinitions", class] => {
                let mut one = std::mem::take(&mut parameter);
                let mut take = |field: &str| one.remove(field).unwrap_or_default();
                let (name, default, description) =
                    (take("name"), take("defaultValue"), take("description"));
                meaning.parameters.insert(name, ((*class).to_owned(), default, description));
            }
            _ => {}
        }
    })?;
    meaning.marked = meaning
        .description
        .lines()
        .find_map(|line| line.trim().strip_prefix(MARK))
        .map(|name| name.trim().to_owned());
    Ok(meaning)
}

/// Tells of each element when it ends: its path, and its text where it has no elements inside.
fn walk(xml: &str, mut tell: impl FnMut(&[String], &str)) -> Result<(), String> {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut told = 0_usize;
    let mut done = |path: &mut Vec<String>, text: &mut String| {
        told += 1;
        if told > TEXTS {
            return Err(format!("more than {TEXTS} elements"));
        }
        tell(path, text);
        path.pop();
        text.clear();
        Ok(())
    };
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) | Event::Empty(start) if path.len() >= DEPTH => {
                drop(start);
                return Err(format!("more than {DEPTH} elements inside each other"));
            }
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                text.clear();
            }
            Event::Empty(start) => {
                path.push(start.name().as_ref().to_owned());
                text.clear();
                done(&mut path, &mut text)?;
            }
            Event::End(_) => done(&mut path, &mut text)?,
            Event::Text(piece) => text.push_str(&piece.xml_content(XmlVersion::Implicit1_0)),
            Event::CData(piece) => text.push_str(&piece.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(reference) => {
                match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                    Some(one) => text.push(one),
                    None => text.push_str(
                        resolve_predefined_entity(&reference)
                            .ok_or("an entity that XML does not define")?,
                    ),
                }
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err("the file ends too early".to_owned()),
            Event::DocType(_) => {
                return Err("a document type, which no controller writes".to_owned());
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

/// How a definition differs from what it should be, in words; nothing where it means the same.
#[must_use]
pub fn drift(spec: &JobSpec, found: &Meaning) -> Vec<String> {
    let mut all = Vec::new();
    if found.root != "flow-definition" {
        all.push(format!("it is no Pipeline but a {}", found.root));
        return all;
    }
    if found.description.trim() != described(&spec.description, &spec.name) {
        all.push("its description is another one".to_owned());
    }
    match &found.script {
        None => all.push("its script is not in the job".to_owned()),
        Some(script) if script.trim() != SCRIPT.trim() => {
            all.push("its script is another one".to_owned());
        }
        Some(_) => {}
    }
    if !found.sandbox {
        all.push("its script does not run in the sandbox".to_owned());
    }
    if found.disabled {
        all.push("it is disabled".to_owned());
    }
    for trigger in &found.triggers {
        all.push(format!("it has a trigger, {trigger}: it would start at every master"));
    }
    let mut left = found.parameters.clone();
    for (name, default, description) in parameters_of(spec) {
        match left.remove(name) {
            None => all.push(format!("the parameter {name} is missing")),
            Some((class, had, said)) => {
                let expected = if default.contains('\n') { TEXT } else { STRING };
                if class != expected {
                    all.push(format!("the parameter {name} is a {class}"));
                } else if had != default {
                    all.push(format!("the parameter {name} has another default"));
                } else if said != description {
                    all.push(format!("the parameter {name} has another description"));
                }
            }
        }
    }
    all.extend(left.keys().map(|name| format!("it has one more parameter, {name}")));
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::stub::recording;

    fn spec(parameters: &[(&str, &str)]) -> JobSpec {
        let parameters: serde_json::Map<String, serde_json::Value> = parameters
            .iter()
            .map(|(name, default)| {
                (
                    (*name).to_owned(),
                    serde_json::json!({"default": default, "description": "a & b"}),
                )
            })
            .collect();
        let text = serde_json::json!({"name": "team/web", "pipeline": "service",
            "description": "Builds <it>.", "parameters": parameters});
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_is_written_means_what_was_meant() {
        let job_spec = spec(&[("BRANCH", "main"), ("NOTES", "line 1\nline <2> & 中文")]);
        let xml = job(&job_spec);
        let found = read(&xml).unwrap();
        assert_eq!(drift(&job_spec, &found), Vec::<String>::new());
        assert_eq!(found.marked.as_deref(), Some("team/web"));
        insta::assert_snapshot!(xml);
        let marked = read(&folder("team")).unwrap();
        assert_eq!(marked.marked.as_deref(), Some("team"));
    }

    #[test]
    fn a_job_of_somebody_else_has_no_mark_and_drifts_in_all_ways() {
        let recorded = read(&recording(16).reply.body).unwrap();
        assert_eq!(recorded.marked, None);
        assert_eq!(recorded.parameters.len(), 8);
        insta::assert_snapshot!(drift(&spec(&[("BRANCH", "main")]), &recorded).join("\n"));
    }

    #[test]
    fn what_a_controller_adds_is_no_drift() {
        let job_spec = spec(&[("BRANCH", "main")]);
        let saved = job(&job_spec)
            .replace("plugin=\"workflow-job\"", "plugin=\"workflow-job@1571.vb_423c255d6d9\"")
            .replace(
                "<?xml version='1.1' encoding='UTF-8'?>",
                "<?xml version=\"1.1\" encoding=\"UTF-8\"?>",
            )
            .replace("'pilotfish'", "&apos;pilotfish&apos;")
            .replace("<trim>false</trim>", "")
            .replace("<properties>", "<properties><jenkins.model.BuildDiscarderProperty/>");
        assert_eq!(drift(&job_spec, &read(&saved).unwrap()), Vec::<String>::new());
        let triggered = saved.replace(
            "<triggers/>",
            "<triggers><hudson.triggers.TimerTrigger><spec>* * * * *</spec></hudson.triggers.TimerTrigger></triggers>",
        );
        assert_eq!(drift(&job_spec, &read(&triggered).unwrap()).len(), 1);
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in "[ -~äöü\n\t<>&'\"]{0,40}", description in "[ -~]{0,20}") {
            let mut job_spec = spec(&[("A", &value)]);
            job_spec.description = description.trim().to_owned();
            prop_assume!(!job_spec.description.contains(MARK));
            prop_assert_eq!(drift(&job_spec, &read(&job(&job_spec)).unwrap()), Vec::<String>::new());
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in ".{0,200}") {
            let _ = read(&text);
        }
    }
}

//! `config.xml`: the parameters of a job, its label and where its script is. Everything else in the
//! file is passed over unread, and so is the default of a password.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::class::{self, Family};
use super::groovy;
use super::model::{ActiveChoiceScript, Parameter, ParameterKind, ScriptSource};

/// The most elements inside each other.
const DEPTH: usize = 256;
/// The most parameters of a job. Forms of some hundred exist.
const PARAMETERS: usize = 5_000;
/// The most texts kept of one parameter: its fields and its choices.
const FIELDS: usize = 50_000;
/// The most bytes of one text that is kept.
const TEXT_BYTES: usize = 4 << 20;

/// What a `config.xml` says.
#[derive(Debug, Default, PartialEq)]
pub struct JobConfig {
    /// `assignedNode` of a freestyle, Maven or matrix project (`hudson.model.AbstractProject`).
    pub label: Option<String>,
    /// Where the script of a Pipeline is.
    pub script: Option<ScriptSource>,
    /// The parameters, in order.
    pub parameters: Vec<Parameter>,
}

/// Texts of a parameter definition by the path of their elements below it, in order.
#[derive(Default)]
struct Definition {
    class: String,
    fields: Vec<(String, String)>,
}

/// Reads a `config.xml`.
///
/// # Errors
/// Says what is wrong and at which byte.
pub fn parse(bytes: &[u8]) -> Result<JobConfig, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("this is no UTF-8 at byte {}", error.valid_up_to()))?;
    let mut reader = Reader::from_str(text);
    let mut walk = Walk::default();
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|error| format!("at byte {at}: {error}"))?;
        let end = matches!(event, Event::Eof);
        walk.event(event).map_err(|reason| format!("at byte {at}: {reason}"))?;
        if end {
            return walk.finish();
        }
    }
}

#[derive(Default)]
struct Walk {
    config: JobConfig,
    /// Names of the open elements.
    path: Vec<String>,
    seen_root: bool,
    definition: Option<Definition>,
    /// Text of the innermost open element, where it is one to keep.
    text: Option<String>,
    script_class: Option<String>,
    script_path: Option<String>,
}

/// Where the definitions stand below the root (`hudson.model.ParametersDefinitionProperty`).
const DEFINITIONS: [&str; 3] =
    ["properties", "hudson.model.ParametersDefinitionProperty", "parameterDefinitions"];

impl Walk {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.open(&start),
            Event::Empty(start) => {
                self.open(&start)?;
                self.close()
            }
            Event::End(_) => self.close(),
            Event::Text(text) => self.add(&text.xml_content(XmlVersion::Implicit1_0)),
            Event::CData(data) => self.add(&data.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(reference) => {
                if self.text.is_none() {
                    return Ok(());
                }
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                if let Some(character) = character {
                    return self.add(character.encode_utf8(&mut [0; 4]));
                }
                // There is no document type that could define more.
                match resolve_predefined_entity(&reference) {
                    Some(text) => self.add(text),
                    None => Err("an entity that XML does not define".to_owned()),
                }
            }
            Event::DocType(_) => Err("a document type, which no controller writes".to_owned()),
            Event::Eof if !self.path.is_empty() || !self.seen_root => {
                Err("the file ends too early".to_owned())
            }
            Event::Eof | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => Ok(()),
        }
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.path.len() >= DEPTH {
            return Err(format!("more than {DEPTH} elements inside each other"));
        }
        if self.path.is_empty() && std::mem::replace(&mut self.seen_root, true) {
            return Err("a second root".to_owned());
        }
        let name = start.name().as_ref().to_owned();
        self.text = None;
        if self.in_definitions() && self.path.len() == DEFINITIONS.len() + 1 {
            if self.config.parameters.len() >= PARAMETERS {
                return Err(format!("more than {PARAMETERS} parameters"));
            }
            let class = class::from_element(&name);
            self.definition = Some(Definition { class, fields: Vec::new() });
        } else if let Some(definition) = &self.definition {
            self.path.push(name);
            let field = self.path[DEFINITIONS.len() + 2..].join("/");
            if definition.fields.len() >= FIELDS {
                return Err(format!("more than {FIELDS} texts in a parameter"));
            }
            if is_kept(class::family(&definition.class), &field) {
                self.text = Some(String::new());
            }
            return Ok(());
        } else if self.path.len() == 1 && name == "definition" {
            self.script_class = attribute(start, "class")?;
        } else {
            let inside = self.path.get(1).map(String::as_str);
            let is_label = self.path.len() == 1 && name == "assignedNode";
            let is_path =
                self.path.len() == 2 && inside == Some("definition") && name == "scriptPath";
            self.text = (is_label || is_path).then(String::new);
        }
        self.path.push(name);
        Ok(())
    }

    fn in_definitions(&self) -> bool {
        self.path.len() > DEFINITIONS.len()
            && self.path[1..].starts_with(&DEFINITIONS.map(str::to_owned))
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let Some(kept) = &mut self.text else { return Ok(()) };
        if kept.len() + text.len() > TEXT_BYTES {
            return Err(format!("a text of more than {TEXT_BYTES} bytes"));
        }
        kept.push_str(text);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let text = self.text.take();
        let below = DEFINITIONS.len() + 2;
        if let Some(definition) = &mut self.definition {
            if self.path.len() > below {
                if let Some(text) = text {
                    definition.fields.push((self.path[below..].join("/"), text));
                }
            } else if let Some(definition) = self.definition.take() {
                self.config.parameters.push(definition.into_parameter()?);
            }
        } else if let Some(text) = text {
            match self.path.last().map(String::as_str) {
                Some("assignedNode") => {
                    self.config.label = Some(text).filter(|one| !one.is_empty())
                }
                Some("scriptPath") => self.script_path = Some(text),
                _ => {}
            }
        }
        self.path.pop();
        Ok(())
    }

    fn finish(mut self) -> Result<JobConfig, String> {
        // `CpsScmFlowDefinition` has a path in a repository, `SCMBinder` of a multibranch project
        // too; `CpsFlowDefinition` has the script itself.
        self.config.script = match (self.script_class.is_some(), self.script_path) {
            (_, Some(path)) => Some(ScriptSource::Scm { path }),
            (true, None) => Some(ScriptSource::Inline),
            (false, None) => None,
        };
        Ok(self.config)
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let found = start.try_get_attribute(name).map_err(|error| error.to_string())?;
    Ok(found.map(|attribute| attribute.value.to_string()))
}

/// The fields that are read, by family. What is not named here is never taken out of the file:
/// not the default of a password, not the script of an active choice beyond its literal list, not
/// the fields of a class that is not known.
fn is_kept(family: Family, field: &str) -> bool {
    if matches!(field, "name" | "description") {
        return true;
    }
    match family {
        Family::Password | Family::Opaque | Family::File => false,
        Family::Text => matches!(field, "defaultValue" | "trim"),
        Family::MultilineText | Family::Boolean => field == "defaultValue",
        Family::Choice => field.starts_with("choices/") && field.ends_with("string"),
        Family::Run => matches!(field, "projectName" | "filter"),
        Family::Credentials => matches!(field, "defaultValue" | "credentialType" | "required"),
        Family::Git => matches!(field, "type" | "defaultValue" | "branchFilter" | "tagFilter"),
        Family::ActiveChoice => {
            matches!(
                field,
                "choiceType"
                    | "referencedParameters"
                    | "script/secureScript/script"
                    | "script/script"
            )
        }
        Family::ValidatingString => matches!(field, "defaultValue" | "regex"),
        Family::ExtendedChoice => {
            matches!(field, "type" | "value" | "defaultValue" | "multiSelectDelimiter")
        }
    }
}

impl Definition {
    fn take(&mut self, field: &str) -> Option<String> {
        let at = self.fields.iter().position(|(name, _)| name == field)?;
        // In order: the first choice of a list is its default.
        Some(self.fields.remove(at).1)
    }

    fn into_parameter(mut self) -> Result<Parameter, String> {
        let name = self
            .take("name")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| format!("a parameter of class {} without a name", self.class))?;
        let description = self.take("description").filter(|text| !text.is_empty());
        Ok(Parameter { name, description, kind: self.kind() })
    }

    fn kind(mut self) -> ParameterKind {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let default = self.take("defaultValue");
        match class::family(&self.class) {
            Family::Text => ParameterKind::String {
                default: default.unwrap_or_default(),
                trim: self.take("trim").map(|text| text == "true"),
            },
            Family::MultilineText => ParameterKind::Text { default: default.unwrap_or_default() },
            Family::Boolean => {
                ParameterKind::Boolean { default: default.is_some_and(|text| text == "true") }
            }
            Family::Choice => ParameterKind::Choice {
                choices: self
                    .fields
                    .into_iter()
                    .filter(|(name, _)| name.starts_with("choices/"))
                    .map(|(_, text)| text)
                    .collect(),
            },
            Family::Password => ParameterKind::Password { class: self.class },
            Family::File => ParameterKind::File,
            Family::Run => ParameterKind::Run {
                project: some(self.take("projectName")),
                filter: some(self.take("filter")),
            },
            Family::Credentials => ParameterKind::Credentials {
                default: some(default),
                credential_type: some(self.take("credentialType")),
                required: self.take("required").map(|text| text == "true"),
            },
            Family::Git => ParameterKind::GitReference {
                default: some(default),
                reference: some(self.take("type")),
                branch_filter: some(self.take("branchFilter")),
                tag_filter: some(self.take("tagFilter")),
            },
            Family::ActiveChoice => {
                let references = self.take("referencedParameters").unwrap_or_default();
                let script = self
                    .take("script/secureScript/script")
                    .or_else(|| self.take("script/script"))
                    .map(|script| active_choice(&script));
                ParameterKind::ActiveChoice {
                    choice_type: some(self.take("choiceType")),
                    script,
                    references: list(&references, ","),
                }
            }
            Family::ValidatingString => ParameterKind::ValidatingString {
                default: default.unwrap_or_default(),
                pattern: some(self.take("regex")),
            },
            Family::ExtendedChoice => {
                let delimiter = some(self.take("multiSelectDelimiter"));
                // The list itself is always separated by commas
                // (`ExtendedChoiceParameterDefinition.computeValue`).
                let choices = some(self.take("value")).map(|value| list(&value, ","));
                ParameterKind::ExtendedChoice {
                    choice_type: some(self.take("type")),
                    choices,
                    default: some(default),
                    delimiter,
                }
            }
            Family::Opaque => ParameterKind::Opaque { class: self.class },
        }
    }
}

/// The script itself is not kept: it may hold anything.
fn active_choice(script: &str) -> ActiveChoiceScript {
    let Some(items) = groovy::literal_list(script) else { return ActiveChoiceScript::Dynamic };
    let mut choices = Vec::new();
    let mut selected = Vec::new();
    for item in items {
        // `:selected` and `:disabled` at the end are marks, not text
        // (`org.biouno.unochoice.model.AbstractScript`, `Utils.isSelected`).
        let item = item.strip_suffix(":disabled").unwrap_or(&item);
        if let Some(item) = item.strip_suffix(":selected") {
            selected.push(item.to_owned());
            choices.push(item.to_owned());
        } else {
            choices.push(item.to_owned());
        }
    }
    ActiveChoiceScript::Static { choices, selected }
}

fn list(text: &str, delimiter: &str) -> Vec<String> {
    text.split(delimiter).map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;

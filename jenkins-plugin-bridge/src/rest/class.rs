//! Java class names of jobs and parameters. They occur here and nowhere else.

use serde::{Deserialize, Serialize};

/// What kind of parameter a class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// One line of text.
    Text,
    /// Several lines of text.
    MultilineText,
    /// Yes or no.
    Boolean,
    /// One of a list.
    Choice,
    /// A secret. Its value is not read.
    Password,
    /// A file that comes with the trigger.
    File,
    /// A build of another job.
    Run,
    /// Id of a credential.
    Credentials,
    /// A branch, tag or revision of a git repository.
    Git,
    /// A list that a script computes.
    ActiveChoice,
    /// One line of text that must match a pattern.
    ValidatingString,
    /// One or several of a list.
    ExtendedChoice,
    /// Another class.
    Opaque,
}

/// Class of a parameter definition, and its family. Core (`hudson.model`) first, then plugins:
/// credentials, git-parameter, uno-choice, validating-string-parameter, extended-choice-parameter.
const PARAMETERS: [(&str, Family); 15] = [
    ("hudson.model.StringParameterDefinition", Family::Text),
    ("hudson.model.TextParameterDefinition", Family::MultilineText),
    ("hudson.model.BooleanParameterDefinition", Family::Boolean),
    ("hudson.model.ChoiceParameterDefinition", Family::Choice),
    ("hudson.model.PasswordParameterDefinition", Family::Password),
    ("hudson.model.FileParameterDefinition", Family::File),
    ("hudson.model.RunParameterDefinition", Family::Run),
    ("com.cloudbees.plugins.credentials.CredentialsParameterDefinition", Family::Credentials),
    ("net.uaznia.lukanus.hudson.plugins.gitparameter.GitParameterDefinition", Family::Git),
    ("org.biouno.unochoice.ChoiceParameter", Family::ActiveChoice),
    ("org.biouno.unochoice.CascadeChoiceParameter", Family::ActiveChoice),
    ("org.biouno.unochoice.DynamicReferenceParameter", Family::ActiveChoice),
    (
        "hudson.plugins.validating_string_parameter.ValidatingStringParameterDefinition",
        Family::ValidatingString,
    ),
    (
        "com.cwctravel.hudson.plugins.extended_choice_parameter.ExtendedChoiceParameterDefinition",
        Family::ExtendedChoice,
    ),
    // mask-passwords: a password whose class is not the core's.
    ("com.michelin.cio.hudson.plugins.passwordparam.PasswordParameterDefinition", Family::Password),
];

/// The family of a class of parameter definitions, or of parameter values.
#[must_use]
pub fn family(class: &str) -> Family {
    if let Some((_, family)) = PARAMETERS.iter().find(|(known, _)| *known == class) {
        return *family;
    }
    let simple = class.rsplit(['.', '$']).next().unwrap_or(class).to_ascii_lowercase();
    // An unknown class may keep a secret in a field of any name. What calls itself one is never
    // asked for more.
    if ["password", "secret", "token"].iter().any(|word| simple.contains(word)) {
        return Family::Password;
    }
    Family::Opaque
}

/// Whether a class of parameter *values* carries a secret.
#[must_use]
pub fn is_secret_value(class: &str) -> bool {
    family(class) == Family::Password
}

/// Whether all that the JSON API exports of this family is all there is. The others have fields
/// in `config.xml` only: `CredentialsParameterValue` exports no value, and the plugins' definitions
/// export no field of their own.
#[must_use]
pub fn is_whole_in_json(family: Family) -> bool {
    !matches!(
        family,
        Family::Credentials
            | Family::Git
            | Family::ActiveChoice
            | Family::ValidatingString
            | Family::ExtendedChoice
    )
}

/// What kind of job a class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Configured by forms, on one node.
    Freestyle,
    /// Configured by a Groovy script.
    Pipeline,
    /// A branch of a multibranch project.
    Branch,
    /// A Maven project.
    Maven,
    /// One job for each combination of axes.
    Matrix,
    /// Something else that builds.
    Other,
}

/// The kind of a job from its class and the class of its folder.
#[must_use]
pub fn job_kind(class: &str, folder_class: Option<&str>) -> JobKind {
    match class {
        "hudson.model.FreeStyleProject" => JobKind::Freestyle,
        "org.jenkinsci.plugins.workflow.job.WorkflowJob" => match folder_class {
            Some("org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject") => {
                JobKind::Branch
            }
            _ => JobKind::Pipeline,
        },
        "hudson.maven.MavenModuleSet" => JobKind::Maven,
        "hudson.matrix.MatrixProject" => JobKind::Matrix,
        _ => JobKind::Other,
    }
}

/// What started a build, in the words of a plan's facts.
#[must_use]
pub fn cause(class: &str) -> Option<&'static str> {
    Some(match class {
        "hudson.model.Cause$UserIdCause" | "hudson.model.Cause$UserCause" => "user",
        "hudson.model.Cause$UpstreamCause"
        | "org.jenkinsci.plugins.workflow.support.steps.build.BuildUpstreamCause" => "upstream",
        "hudson.triggers.TimerTrigger$TimerTriggerCause" => "timer",
        "hudson.triggers.SCMTrigger$SCMTriggerCause"
        | "jenkins.branch.BranchEventCause"
        | "jenkins.branch.BranchIndexingCause"
        | "com.cloudbees.jenkins.GitHubPushCause"
        | "com.dabsquared.gitlabjenkins.cause.GitLabWebHookCause" => "push",
        "hudson.model.Cause$RemoteCause" => "remote",
        _ => return None,
    })
}

/// The class whose name XStream wrote as an element: `__` stands for `_`, `_-` for `$`
/// (`com.thoughtworks.xstream.io.xml.XmlFriendlyNameCoder`).
#[must_use]
pub fn from_element(element: &str) -> String {
    let mut class = String::with_capacity(element.len());
    let mut rest = element;
    while let Some(at) = rest.find('_') {
        class.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (text, skipped) = match tail.as_bytes().first() {
            Some(b'_') => ("_", 1),
            Some(b'-') => ("$", 1),
            _ => ("_", 0),
        };
        class.push_str(text);
        rest = &tail[skipped..];
    }
    class.push_str(rest);
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_classes() {
        assert_eq!(from_element("a.extended__choice__p.X"), "a.extended_choice_p.X");
        assert_eq!(from_element("hudson.model.Cause_-UserCause"), "hudson.model.Cause$UserCause");
        assert_eq!(from_element("a_b_"), "a_b_");
    }

    #[test]
    fn what_calls_itself_a_secret_is_one() {
        assert_eq!(family("org.example.NonStoredPasswordParameterDefinition"), Family::Password);
        assert!(is_secret_value("hudson.model.PasswordParameterValue"));
        assert!(!is_secret_value("hudson.model.StringParameterValue"));
        assert_eq!(family("org.example.ColourParameterDefinition"), Family::Opaque);
    }
}

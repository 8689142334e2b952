//! `config.xml`: recorded files, the shapes of plugins that the recordings lack, and bad bytes.

use proptest::prelude::*;

use super::*;
use crate::rest::stub::recording;

fn recorded(number: u32) -> JobConfig {
    parse(recording(number).reply.body.as_bytes()).unwrap()
}

fn kinds(config: &JobConfig) -> Vec<(&str, &ParameterKind)> {
    config.parameters.iter().map(|one| (one.name.as_str(), &one.kind)).collect()
}

#[test]
fn every_type_of_the_core_is_read_as_recorded() {
    let config = recorded(16);
    insta::assert_json_snapshot!(config.parameters);
    assert_eq!(config.script, Some(ScriptSource::Inline));
    assert_eq!(config.label, None);
}

#[test]
fn a_password_leaves_nothing_behind() {
    let body = recording(16).reply.body;
    assert!(body.contains("{AQAAABAAAAA"), "the recording has an encrypted default");
    let shown = format!("{:?}", recorded(16));
    assert!(!shown.contains("AQAAA"), "{shown}");
}

#[test]
fn labels_and_scripts_are_read_as_recorded() {
    assert_eq!(recorded(19).label.as_deref(), Some("ws1"));
    assert!(recorded(19).parameters.is_empty());
    let path = "Jenkinsfile".to_owned();
    assert_eq!(recorded(20).script, Some(ScriptSource::Scm { path }));
}

/// Assumed: the fields are those of the plugins' classes, written by XStream under their names:
/// `GitParameterDefinition`, `AbstractScriptableParameter` and `GroovyScript` (uno-choice),
/// `ValidatingStringParameterDefinition`, `ExtendedChoiceParameterDefinition`;
/// `ChoiceParameterDefinition.choices` of the core is a `CopyOnWriteArrayList` in older files.
const PLUGINS: &str = r#"<?xml version='1.1' encoding='UTF-8'?>
<project>
  <properties>
    <jenkins.model.BuildDiscarderProperty><strategy class="x"/></jenkins.model.BuildDiscarderProperty>
    <hudson.model.ParametersDefinitionProperty>
      <parameterDefinitions>
        <net.uaznia.lukanus.hudson.plugins.gitparameter.GitParameterDefinition plugin="git-parameter@0.9.19">
          <name>REVISION</name>
          <uuid>00000000-0000-0000-0000-000000000000</uuid>
          <type>PT_BRANCH_TAG</type>
          <branch></branch>
          <tagFilter>v*</tagFilter>
          <branchFilter>origin/(.*)</branchFilter>
          <sortMode>NONE</sortMode>
          <defaultValue>main</defaultValue>
          <selectedValue>NONE</selectedValue>
        </net.uaznia.lukanus.hudson.plugins.gitparameter.GitParameterDefinition>
        <org.biouno.unochoice.ChoiceParameter plugin="uno-choice@2.8">
          <name>REGION</name>
          <description>where</description>
          <randomName>choice-parameter-1</randomName>
          <visibleItemCount>1</visibleItemCount>
          <script class="org.biouno.unochoice.model.GroovyScript">
            <secureScript plugin="script-security@1.78">
              <script>return [&apos;eu:selected&apos;, &apos;us&apos;, &apos;cn:disabled&apos;]</script>
              <sandbox>true</sandbox>
            </secureScript>
            <secureFallbackScript plugin="script-security@1.78">
              <script>return [&apos;none&apos;]</script>
            </secureFallbackScript>
          </script>
          <choiceType>PT_SINGLE_SELECT</choiceType>
          <filterable>false</filterable>
        </org.biouno.unochoice.ChoiceParameter>
        <org.biouno.unochoice.CascadeChoiceParameter plugin="uno-choice@2.8">
          <name>CLUSTER</name>
          <script class="org.biouno.unochoice.model.GroovyScript">
            <secureScript><script><![CDATA[def key = "hunter2"; return list(key)]]></script></secureScript>
          </script>
          <parameters class="linked-hash-map"/>
          <referencedParameters>REGION,TEAM</referencedParameters>
          <choiceType>PT_CHECKBOX</choiceType>
        </org.biouno.unochoice.CascadeChoiceParameter>
        <hudson.plugins.validating__string__parameter.ValidatingStringParameterDefinition plugin="validating-string-parameter@2.8">
          <name>TICKET</name>
          <defaultValue>AB-1</defaultValue>
          <regex>[A-Z]+-\d+</regex>
          <failedValidationMessage>no</failedValidationMessage>
        </hudson.plugins.validating__string__parameter.ValidatingStringParameterDefinition>
        <com.cwctravel.hudson.plugins.extended__choice__parameter.ExtendedChoiceParameterDefinition plugin="extended-choice-parameter@0.82">
          <name>SUITES</name>
          <quoteValue>false</quoteValue>
          <visibleItemCount>5</visibleItemCount>
          <type>PT_CHECKBOX</type>
          <value>unit, api,ui</value>
          <defaultValue>unit,api</defaultValue>
          <multiSelectDelimiter>;</multiSelectDelimiter>
        </com.cwctravel.hudson.plugins.extended__choice__parameter.ExtendedChoiceParameterDefinition>
        <hudson.model.ChoiceParameterDefinition>
          <name>OLD</name>
          <choices class="java.util.concurrent.CopyOnWriteArrayList"><string>a</string><string></string></choices>
        </hudson.model.ChoiceParameterDefinition>
        <org.example.ColourParameterDefinition><name>COLOUR</name><key>hunter2</key></org.example.ColourParameterDefinition>
        <org.example.SecretThing><name>KEY</name><defaultValue>hunter2</defaultValue></org.example.SecretThing>
      </parameterDefinitions>
    </hudson.model.ParametersDefinitionProperty>
  </properties>
  <assignedNode>linux &amp;&amp; php</assignedNode>
  <builders><hudson.tasks.Shell><command>echo &#x1;</command></hudson.tasks.Shell></builders>
</project>"#;

#[test]
fn parameters_of_plugins_are_read_and_scripts_are_not_kept() {
    let config = parse(PLUGINS.as_bytes()).unwrap();
    insta::assert_json_snapshot!(config.parameters);
    assert_eq!(config.label.as_deref(), Some("linux && php"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(kinds(&config).len(), 8);
}

#[test]
fn files_that_no_controller_writes_are_refused() {
    let deep = "<a>".repeat(300);
    let definition = |inner: &str| {
        format!(
            "<project><properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>\
             {inner}</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>\
             </project>"
        )
    };
    for (wrong, word) in [
        ("", "too early"),
        ("<project>", "too early"),
        ("<project></folder>", "expected"),
        ("<project/><project/>", "second root"),
        (deep.as_str(), "inside each other"),
        ("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>", "document type"),
        ("<project><assignedNode>&b;</assignedNode></project>", "entity"),
        (&definition("<hudson.model.StringParameterDefinition/>"), "without a name"),
    ] {
        let error = parse(wrong.as_bytes()).unwrap_err();
        assert!(error.contains(word), "{wrong}: {error}");
    }
    assert!(parse(b"<a>\xff</a>").unwrap_err().contains("UTF-8"));
}

#[test]
fn text_of_the_size_of_a_bomb_is_refused() {
    let text = "x".repeat(TEXT_BYTES + 1);
    let error = parse(format!("<project><assignedNode>{text}</assignedNode></project>").as_bytes());
    assert!(error.unwrap_err().contains("a text of more than"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_damaged_file_is_survived(at in 0_usize..PLUGINS.len(), byte in any::<u8>()) {
        let mut bytes = PLUGINS.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(config) = parse(&bytes) {
            prop_assert!(config.parameters.len() <= 8);
        }
    }
}

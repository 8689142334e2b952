//! What a build leaves at its controller: test results and artefacts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Client, Download};
use super::error::RestError;
use super::name::encode;
use super::overview::read;

/// What is asked for of test results (`hudson.tasks.junit.TestResult`, `SuiteResult` and `CaseResult`, by
/// their exported properties).
const TESTS_TREE: &str = "duration,failCount,passCount,skipCount,\
     suites[name,cases[className,name,status,duration,errorDetails]]";
/// What is asked for of a build.
const ARTIFACTS_TREE: &str = "artifacts[fileName,relativePath]";

/// Test results of a build, as the controller gives them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TestReport {
    /// Seconds that they took.
    pub duration: f64,
    /// Cases that failed.
    #[serde(alias = "failCount")]
    pub fail_count: u64,
    /// Cases that passed.
    #[serde(alias = "passCount")]
    pub pass_count: u64,
    /// Cases that were left out.
    #[serde(alias = "skipCount")]
    pub skip_count: u64,
    /// By suite.
    pub suites: Vec<TestSuite>,
}

/// A suite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TestSuite {
    /// Its name.
    pub name: String,
    /// Its cases.
    pub cases: Vec<TestCase>,
}

/// A case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TestCase {
    /// Its class.
    #[serde(alias = "className")]
    pub class_name: String,
    /// Its name.
    pub name: String,
    /// `PASSED`, `FIXED`, `FAILED`, `REGRESSION` or `SKIPPED`.
    pub status: String,
    /// Seconds that it took.
    pub duration: f64,
    /// What went wrong.
    #[serde(alias = "errorDetails", skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
}

/// Whether a case with this status failed.
#[must_use]
pub fn is_failed(status: &str) -> bool {
    matches!(status, "FAILED" | "REGRESSION")
}

#[derive(Deserialize)]
struct ArtifactsJson {
    #[serde(default)]
    artifacts: Vec<ArtifactJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactJson {
    relative_path: String,
}

impl Client {
    /// Test results of a build; nothing where it has none.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn test_report(&self, path: &str) -> Result<Option<TestReport>, RestError> {
        match self.json(&format!("{path}testReport/"), TESTS_TREE).await {
            Ok(answer) => read(&answer, "test results").map(Some),
            Err(RestError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The artefacts of a build, by their paths.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn artifacts(&self, path: &str) -> Result<Vec<String>, RestError> {
        let answer: ArtifactsJson = read(&self.json(path, ARTIFACTS_TREE).await?, "a build")?;
        Ok(answer.artifacts.into_iter().map(|one| one.relative_path).collect())
    }

    /// Begins to read an artefact.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn artifact(&self, path: &str, artifact: &str) -> Result<Download<'_>, RestError> {
        let mut address = format!("{path}artifact");
        for part in artifact.split('/') {
            address.push('/');
            encode(part, &mut address);
        }
        self.download(&address, &[]).await
    }

    /// Begins to read the whole log of a build; whether it still grows.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn whole_log(&self, path: &str) -> Result<(Download<'_>, bool), RestError> {
        let start = [("start", "0".to_owned())];
        let log = self.download(&format!("{path}logText/progressiveText"), &start).await?;
        let grows = log.headers().contains_key("x-more-data");
        Ok((log, grows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_results_are_read_as_the_plugin_exports_them() {
        let text = r#"{"_class":"hudson.tasks.junit.TestResult","duration":0.5,"failCount":1,"passCount":2,
            "skipCount":0,"suites":[{"name":"a","cases":[{"className":"A","name":"one","status":"REGRESSION",
            "duration":0.1,"errorDetails":"expected 1"},{"className":"A","name":"two","status":"PASSED",
            "duration":0.1,"errorDetails":null}]}]}"#;
        let report: TestReport = serde_json::from_str(text).unwrap();
        assert_eq!((report.fail_count, report.suites[0].cases.len()), (1, 2));
        assert_eq!(report.suites[0].cases[0].error_details.as_deref(), Some("expected 1"));
        let again: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(again["suites"][0]["cases"][1]["class_name"], "A");
    }
}

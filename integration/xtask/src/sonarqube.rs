//! The stage that scans with SonarQube, against a real server: too large a download for every run of CI.

use crate::context::{Context, Done, run};
use crate::{maven, tools};

/// The server, with the database and the search engine that it brings, and the scanner.
const FILES: [maven::File; 2] = [
    maven::File {
        artifact: "org.sonarsource.sonarqube:sonar-application:9.9.0.65466:zip",
        name: "sonar-application-9.9.0.65466.zip",
        sha256: "f5b3045ac40b99dfc2ab45c0990074f4b15e426bdb91533d77f3b94b73d3d411",
    },
    maven::File {
        artifact: "org.sonarsource.scanner.cli:sonar-scanner-cli:7.3.0.5189",
        name: "sonar-scanner-cli-7.3.0.5189.jar",
        sha256: "528395814237a294ff0cf0c6e7c03336208bcfe27851a433ba394ce0f94af75c",
    },
];

/// Fetches both (300 MB) and runs the test of the stage, about four minutes.
pub fn run_it(context: &Context) -> Done {
    tools::need(&tools::JAVAC)?;
    println!("==> SonarQube: 300 MB the first time, then some minutes");
    let files = maven::fetch(context, &FILES, "sonarqube")?;
    let mut test = context.cargo(["test", "--package", "pilotfish-bridge", "--test"]);
    test.args(["stage_sonarqube", "--", "--include-ignored", "--nocapture"]);
    test.env("PILOTFISH_TEST_SONARQUBE", &files[0]);
    run(test.env("PILOTFISH_TEST_SONAR_SCANNER", &files[1]))
}

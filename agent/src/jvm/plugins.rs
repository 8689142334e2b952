//! Which plugin a class belongs to, by its package.

/// Packages and the plugins that they belong to. Where two fit, the longer one counts.
const PLUGINS: &[(&str, &str)] = &[
    ("au.com.centrumsystems.hudson.plugin.buildpipeline.", "Build Pipeline plugin"),
    ("com.cloudbees.jenkins.plugins.sshagent.", "SSH Agent plugin"),
    ("com.cloudbees.plugins.credentials.", "Credentials plugin"),
    ("com.michelin.cio.hudson.plugins.copytoslave.", "Copy To Slave plugin"),
    ("edu.hm.hafner.", "Warnings or Coverage plugin"),
    ("hudson.maven.", "Maven Integration plugin"),
    ("hudson.plugins.ansicolor.", "AnsiColor plugin"),
    ("hudson.plugins.ant.", "Ant plugin"),
    ("hudson.plugins.build_timeout.", "Build Timeout plugin"),
    ("hudson.plugins.cobertura.", "Cobertura plugin"),
    ("hudson.plugins.copyartifact.", "Copy Artifact plugin"),
    ("hudson.plugins.cppcheck.", "Cppcheck plugin"),
    ("hudson.plugins.git.", "Git plugin"),
    ("hudson.plugins.gradle.", "Gradle plugin"),
    ("hudson.plugins.jacoco.", "JaCoCo plugin"),
    ("hudson.plugins.mercurial.", "Mercurial plugin"),
    ("hudson.plugins.nodejs.", "NodeJS plugin"),
    ("hudson.plugins.performance.", "Performance plugin"),
    ("hudson.plugins.robot.", "Robot Framework plugin"),
    ("hudson.plugins.sonar.", "SonarQube Scanner plugin"),
    ("hudson.plugins.timestamper.", "Timestamper plugin"),
    ("hudson.plugins.ws_cleanup.", "Workspace Cleanup plugin"),
    ("hudson.scm.CVS", "CVS plugin"),
    ("hudson.scm.", "Subversion plugin"),
    ("hudson.tasks.Ant", "Ant plugin"),
    ("hudson.tasks.Javadoc", "Javadoc plugin"),
    ("hudson.tasks.junit.", "JUnit plugin"),
    ("hudson.tasks.test.", "JUnit plugin"),
    ("hudson.util.RemotingDiagnostics$Script", "script console"),
    ("htmlpublisher.", "HTML Publisher plugin"),
    ("io.jenkins.plugins.analysis.", "Warnings plugin"),
    ("io.jenkins.plugins.checks.", "Checks API plugin"),
    ("io.jenkins.plugins.coverage.", "Coverage plugin"),
    ("io.jenkins.plugins.forensics.", "Forensics API plugin"),
    ("io.jenkins.plugins.prism.", "Prism API plugin"),
    ("io.jenkins.plugins.util.", "Plugin Utilities API plugin"),
    ("jenkins.plugins.git.", "Git plugin"),
    ("jenkins.plugins.nodejs.", "NodeJS plugin"),
    ("jenkins.plugins.publish_over.", "Publish Over plugin"),
    ("org.jenkinsci.plugins.ant.", "Ant plugin"),
    ("org.jenkinsci.plugins.ansible.", "Ansible plugin"),
    ("org.jenkinsci.plugins.configfiles.", "Config File Provider plugin"),
    ("org.jenkinsci.plugins.credentialsbinding.", "Credentials Binding plugin"),
    ("org.jenkinsci.plugins.docker.commons.", "Docker Commons plugin"),
    ("org.jenkinsci.plugins.docker.workflow.", "Docker Pipeline plugin"),
    ("org.jenkinsci.plugins.durabletask.", "Durable Task plugin"),
    ("org.jenkinsci.plugins.envinject.", "EnvInject plugin"),
    ("org.jenkinsci.plugins.gitclient.", "Git Client plugin"),
    ("org.jenkinsci.plugins.pipeline.maven.", "Pipeline Maven Integration plugin"),
    ("org.jenkinsci.plugins.pipeline.utility.", "Pipeline Utility Steps plugin"),
    ("org.jenkinsci.plugins.scriptsecurity.", "Script Security plugin"),
    ("org.jenkinsci.plugins.workflow.", "Pipeline plugins"),
    ("org.jenkinsci.plugins.xunit.", "xUnit plugin"),
    ("org.jfrog.", "Artifactory plugin"),
    ("xunit.", "xUnit plugin"),
];

/// The plugin that a class most likely belongs to; `None` for those that few builds meet.
pub(crate) fn plugin_of(class: &str) -> Option<&'static str> {
    PLUGINS
        .iter()
        .filter(|(package, _)| class.starts_with(package))
        .max_by_key(|(package, _)| package.len())
        .map(|(_, plugin)| *plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_package_that_fits_counts() {
        let git = "org.jenkinsci.plugins.gitclient.Git$GitAPIMasterToSlaveFileCallable";
        assert_eq!(plugin_of(git), Some("Git Client plugin"));
        assert_eq!(plugin_of("hudson.scm.CVSSCM$1"), Some("CVS plugin"));
        assert_eq!(plugin_of("hudson.scm.SubversionSCM$CheckOutTask"), Some("Subversion plugin"));
        assert_eq!(plugin_of("com.example.Thing"), None);
        assert_eq!(plugin_of(""), None);
    }

    #[test]
    fn no_package_stands_there_twice() {
        let mut packages: Vec<&str> = PLUGINS.iter().map(|(package, _)| *package).collect();
        packages.sort_unstable();
        packages.dedup();
        assert_eq!(packages.len(), PLUGINS.len());
    }
}

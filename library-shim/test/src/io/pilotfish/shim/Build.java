package io.pilotfish.shim;

import com.cloudbees.plugins.credentials.CredentialsProvider;
import com.cloudbees.plugins.credentials.common.IdCredentials;
import com.cloudbees.plugins.credentials.common.PasswordCredentials;
import com.cloudbees.groovy.cps.Outcome;
import hudson.model.ParameterValue;
import hudson.model.Run;
import hudson.slaves.EnvironmentVariablesNodeProperty;
import hudson.util.Secret;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import jenkins.model.Jenkins;
import org.jenkinsci.plugins.plaincredentials.StringCredentials;
import org.jenkinsci.plugins.workflow.steps.StepDescriptor;

/** One build of a job on a controller. */
final class Build {
    /** Steps that every controller with Pipeline has, and some more. */
    private static final List<String> STEPS = List.of("echo", "error", "sleep", "node", "stage", "parallel", "dir", "deleteDir", "pwd",
        "writeFile", "readFile", "fileExists", "withEnv", "sh", "timeout", "retry", "catchError", "unstable", "archiveArtifacts",
        "input", "withCredentials", "junit", "lock");

    private record Known(String getId) implements IdCredentials {}

    private record Login(String getId, Secret getPassword) implements IdCredentials, PasswordCredentials {}

    private record Text(String getId, Secret getSecret) implements StringCredentials {}

    final Steps.CurrentBuild current;
    final Map<String, String> settings = new TreeMap<>();

    Build(String job, int number, long started, String url, String key, String token) {
        current = new Steps.CurrentBuild(new Run<>(job, number, started));
        settings.putAll(Map.of("PILOTFISH_BRIDGE", url, "PILOTFISH_CONTROLLER", "main", "PILOTFISH_KEYS", key));
        StepDescriptor.KNOWN.clear();
        StepDescriptor.KNOWN.addAll(STEPS);
        CredentialsProvider.ALL.clear();
        CredentialsProvider.ALL.add(new Text("pilotfish-bridge", Secret.fromString(token)));
        CredentialsProvider.ALL.add(new Login("login", Secret.fromString("secret of login")));
        for (String id : List.of("text", "config", "key")) CredentialsProvider.ALL.add(new Known(id));
    }

    void parameter(String name, Object value) {
        current.rawBuild.parameters.getParameters().add(new ParameterValue(name, value, false));
        current.rawBuild.environment.put(name, value.toString());
    }

    void secret(String name) {
        current.rawBuild.parameters.getParameters().add(new ParameterValue(name, Secret.fromString("a password"), true));
    }

    /** Runs the library; gives what the build ends with. */
    Outcome run(Library library, World world, Engine engine, String directory, Map<String, Object> options) throws Exception {
        EnvironmentVariablesNodeProperty property = new EnvironmentVariablesNodeProperty();
        property.getEnvVars().putAll(settings);
        Jenkins.get().getGlobalNodeProperties().clear();
        Jenkins.get().getGlobalNodeProperties().add(property);
        Steps.world = world;
        Outcome end = engine.run(library.call(options), directory, current.rawBuild.environment);
        if (end.isFailure()) current.worsen("FAILURE");
        return end;
    }
}

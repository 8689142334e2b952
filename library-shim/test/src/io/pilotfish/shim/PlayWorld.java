package io.pilotfish.shim;

import java.io.Serializable;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException;

/** Steps that do nothing but what a test says. */
final class PlayWorld extends World {
    /** What a step does, by its label, or by its label and how often it ran: `fail`, `hang`, `stop`. */
    final Map<String, String> happens = new HashMap<>();
    /** Texts of files, by the ends of their paths; those of outputs by a part of the path of their directory. */
    final Map<String, String> files = new HashMap<>();
    Tests tests = new Tests(0, 0, 0);
    private final Map<String, Integer> runs = new HashMap<>();

    PlayWorld(Steps.CurrentBuild currentBuild, Recorder recorder) {
        super(currentBuild, recorder);
    }

    @Override
    boolean hasNoNode() {
        return "hang".equals(happens.get("node"));
    }

    /** What the step of the junit plugin gives. */
    public record Tests(int getPassCount, int getFailCount, int getSkipCount) implements Serializable {}

    @Override
    Object step(StepCall call, Place place) throws Exception {
        switch (call.name()) {
            case "pwd":
                return "/agent/workspace/job" + (call.arguments().isEmpty() ? "" : "@tmp");
            case "error":
                throw new Exception(call.argument("message").toString());
            case "unstable":
                currentBuild.worsen("UNSTABLE");
                return null;
            case "junit":
                happened(happens.getOrDefault("junit", "pass"));
                if (tests.getFailCount() > 0) currentBuild.worsen("UNSTABLE");
                return tests;
            case "fileExists", "readFile":
                String path = call.argument("file").toString();
                String text = files.entrySet().stream().filter(one -> path.endsWith(one.getKey())).map(Map.Entry::getValue).findFirst().orElse(null);
                return call.name().equals("readFile") ? text : (Object) (text != null);
            case "sh", "input", "sleep":
                Map<String, String> names = Map.of("sh", "label", "input", "message");
                String label = names.containsKey(call.name()) ? String.valueOf(call.argument(names.get(call.name()))) : "sleep";
                String how = happens.get(label + "#" + runs.merge(label, 1, Integer::sum));
                if (how == null) how = happens.getOrDefault(label, "pass");
                Object did = happened(how);
                if (did != null || call.argument("returnStdout") != Boolean.TRUE) return did;
                return files.entrySet().stream().filter(one -> place.directory().contains(one.getKey())).map(Map.Entry::getValue).findFirst().orElse("");
            default:
                return null;
        }
    }

    private static Object happened(String how) throws Exception {
        return switch (how) {
            case "fail" -> throw new Exception("script returned exit code 1");
            case "stop" -> throw new FlowInterruptedException(new FlowInterruptedException.UserInterruption());
            case "reject" -> throw new FlowInterruptedException(new FlowInterruptedException.Rejection());
            case "hang" -> HANGS;
            default -> null;
        };
    }

    static Map<String, Object> decision(String state, String reason) {
        return new TreeMap<>(Map.of("state", state, "reason", reason));
    }
}

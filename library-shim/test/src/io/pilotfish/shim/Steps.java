package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.SerializableScript;
import java.util.List;
import java.util.Map;

/** The base class of the script: what it does not have itself is a step, as in a Pipeline. */
public abstract class Steps extends SerializableScript {
    /** The world outside of the Pipeline. It is not stored with it. */
    static World world;

    @Override
    public Object invokeMethod(String name, Object arguments) {
        return Continuable.suspend(StepCall.of(name, (Object[]) arguments));
    }

    @Override
    public Object getProperty(String name) {
        return switch (name) {
            case "currentBuild" -> world.currentBuild;
            case "env" -> Map.of("POD_LABEL", "the-pod");
            default -> super.getProperty(name);
        };
    }

    /** What a script sees of its own build. */
    public static class CurrentBuild {
        public final hudson.model.Run<?, ?> rawBuild;
        public String result;

        CurrentBuild(hudson.model.Run<?, ?> rawBuild) {
            this.rawBuild = rawBuild;
        }

        /** A result only gets worse. */
        void worsen(String other) {
            List<String> order = List.of("SUCCESS", "UNSTABLE", "FAILURE", "NOT_BUILT", "ABORTED");
            if (order.indexOf(other) > order.indexOf(result == null ? "SUCCESS" : result)) result = other;
        }
    }
}

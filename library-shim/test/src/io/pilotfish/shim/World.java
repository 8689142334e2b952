package io.pilotfish.shim;

import java.util.Map;
import org.jenkinsci.plugins.workflow.steps.StepDescriptor;

/** What is outside of the Pipeline: the build, and the steps that do something. */
abstract class World {
    /** A step that does not end by itself. */
    static final Object HANGS = new Object();

    final Steps.CurrentBuild currentBuild;
    final Recorder recorder;
    /** Texts that must not be among what is stored of a build. */
    String[] secrets = {};

    World(Steps.CurrentBuild currentBuild, Recorder recorder) {
        this.currentBuild = currentBuild;
        this.recorder = recorder;
    }

    /** Where a step is called: its variables and its directory. */
    record Place(Map<String, String> environment, String directory) {}

    boolean hasStep(String name) {
        return StepDescriptor.KNOWN.contains(name);
    }

    /** No agent comes. */
    boolean hasNoNode() {
        return false;
    }

    /** Does what a step without a body does. Its value must be one that can be stored. */
    abstract Object step(StepCall call, Place place) throws Exception;
}

package org.jenkinsci.plugins.workflow.log;

import hudson.model.TaskListener;
import hudson.remoting.RemoteOutputStream;
import java.io.OutputStream;

/** Home of the listener that a Pipeline's log is on the wire. */
public final class BufferedBuildListener {
    private BufferedBuildListener() {}

    /** Writes to the controller with a delay. On the controller it replaces the listener of a build. */
    public static final class Replacement implements TaskListener {
        private static final long serialVersionUID = 1L;
        private final RemoteOutputStream ros;
        private final DelayBufferedOutputStream.Tuning tuning = new DelayBufferedOutputStream.Tuning();

        public Replacement(RemoteOutputStream ros) {
            this.ros = ros;
        }

        @Override
        public OutputStream log() {
            return ros;
        }
    }
}

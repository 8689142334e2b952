package org.jenkinsci.plugins.workflow.steps.durable_task;

import hudson.model.TaskListener;
import java.io.InputStream;
import java.io.OutputStream;
import org.jenkinsci.plugins.durabletask.Handler;
import org.jenkinsci.plugins.workflow.log.OutputStreamTaskListener;

/** Home of the step's side of push mode (agent-callables 3.2). */
public final class DurableTaskStep {
    private DurableTaskStep() {}

    /** Exported by the controller, called by the agent at the end. */
    public interface ExecutionRemotable {
        void exited(int code, byte[] output) throws Exception;

        void problem(Exception problem) throws Exception;
    }

    /** Home of the listener around a step's. */
    public static final class Execution {
        private Execution() {}

        /** Ends the output with a line break. */
        public static final class NewlineSafeTaskListener extends OutputStreamTaskListener.Default {
            private static final long serialVersionUID = 1L;
            private final TaskListener delegate;

            public NewlineSafeTaskListener(TaskListener delegate) {
                this.delegate = delegate;
            }

            @Override
            public OutputStream log() {
                return delegate.log();
            }
        }
    }

    /** Passes output and end on. */
    public static final class HandlerImpl extends Handler {
        private static final long serialVersionUID = 1L;
        private final ExecutionRemotable execution;
        private final TaskListener listener;

        public HandlerImpl(ExecutionRemotable execution, TaskListener listener) {
            this.execution = execution;
            this.listener = listener;
        }

        @Override
        public void output(InputStream stream) throws Exception {
            stream.transferTo(listener.log());
        }

        @Override
        public void exited(int code, byte[] output) throws Exception {
            execution.exited(code, output);
        }
    }
}

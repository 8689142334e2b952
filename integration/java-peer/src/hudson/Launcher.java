package hudson;

import hudson.model.TaskListener;
import hudson.remoting.Callable;
import hudson.remoting.Channel;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.util.List;
import java.util.Map;
import jenkins.security.MasterToSlaveCallable;
import jenkins.tasks.filters.EnvVarsFilterRuleWrapper;
import org.jenkinsci.remoting.RoleChecker;

/** Home of the process callables (agent-callables 2.2). */
public final class Launcher {
    private Launcher() {}

    /** A process of the agent, exported to the controller. */
    public interface RemoteProcess {
        int join() throws InterruptedException, IOException;

        void kill() throws IOException, InterruptedException;

        boolean isAlive() throws IOException, InterruptedException;

        IOTriplet getIOtriplet();
    }

    /** The reversed streams of a process; null for those that are not reversed. */
    public static final class IOTriplet implements Serializable {
        private static final long serialVersionUID = 1L;
        public InputStream stdout;
        public InputStream stderr;
        public OutputStream stdin;
    }

    /** Starts a process, answers a proxy of {@link RemoteProcess}. */
    public record RemoteLaunchCallable(
            List<String> cmd,
            boolean[] masks,
            String[] env,
            InputStream in,
            boolean reverseStdin,
            OutputStream out,
            boolean reverseStdout,
            OutputStream err,
            boolean reverseStderr,
            boolean quiet,
            String workDir,
            TaskListener listener,
            TaskListener stdoutListener,
            EnvVarsFilterRuleWrapper envVarsFilterRuleWrapper)
            implements Callable<RemoteProcess, IOException> {

        @Override
        public RemoteProcess call() throws IOException {
            return Channel.current().export(RemoteProcess.class, new LocalProcess(this));
        }

        @Override
        public void checkRoles(RoleChecker checker) {}

        @Override
        public String toString() {
            return "RemoteLaunchCallable " + cmd;
        }
    }

    /** The same process as an object of the agent; an own class because it never travels. */
    static RemoteInputStream travelling(InputStream in) {
        return in == null ? null : new RemoteInputStream(in, RemoteInputStream.Flag.NOT_GREEDY);
    }

    static RemoteOutputStream travelling(OutputStream out) {
        return out == null ? null : new RemoteOutputStream(out);
    }

    /** Home of {@link KillTask}. */
    public static final class RemoteLauncher {
        private RemoteLauncher() {}

        /** Kills every process whose environment holds all of the variables. */
        public static final class KillTask extends MasterToSlaveCallable<Void, RuntimeException> {
            private static final long serialVersionUID = 1L;
            private final Map<String, String> modelEnvVars;

            public KillTask(Map<String, String> modelEnvVars) {
                this.modelEnvVars = modelEnvVars;
            }

            @Override
            public Void call() {
                LocalProcess.killMatching(modelEnvVars);
                return null;
            }
        }
    }
}

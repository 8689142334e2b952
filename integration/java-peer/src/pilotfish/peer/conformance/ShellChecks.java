package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;

import hudson.FilePath;
import hudson.model.TaskListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jenkinsci.plugins.durabletask.BourneShellScript.ShellController;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.StartWatching;
import org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep.Execution.NewlineSafeTaskListener;
import org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep.ExecutionRemotable;
import org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep.HandlerImpl;
import pilotfish.peer.Node;
import pilotfish.peer.ShellStep;

/** Pipeline's {@code sh}, polled and pushed (agent-callables 3). */
final class ShellChecks {
    private final Node node;
    private final String workspace;

    ShellChecks(Node node) {
        this.node = node;
        this.workspace = node.path("workspace/shell");
    }

    void all(Checks checks) {
        checks.check("sh: polled log and exit code", () -> {
            ByteArrayOutputStream log = new ByteArrayOutputStream();
            int code = new ShellStep(node, workspace, false).run("for i in 1 2 3; do echo line $i; sleep 0.4; done\nprintf 'no end'\nexit 3", log);
            same(3, code, "exit code");
            String text = log.toString(StandardCharsets.UTF_8);
            require(text.contains("line 1\n") && text.contains("line 3\n") && text.contains("no end"), text);
        });
        checks.check("sh: returned output", () -> {
            ShellStep step = new ShellStep(node, workspace, true);
            step.start("set +x; echo wanted; echo aside >&2", Conformance.nowhere());
            ByteArrayOutputStream log = new ByteArrayOutputStream();
            same(0, step.follow(log), "exit code");
            same("wanted\n", new String(step.output(), StandardCharsets.UTF_8), "output");
            require(log.toString(StandardCharsets.UTF_8).contains("aside"), "standard error is not in the log");
            step.clean();
        });
        checks.check("sh: aborted by KillTask", () -> {
            ShellStep step = new ShellStep(node, workspace, false);
            step.start("echo begun; sleep 300", Conformance.nowhere());
            ByteArrayOutputStream log = new ByteArrayOutputStream();
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (!log.toString(StandardCharsets.UTF_8).contains("begun\n") && System.nanoTime() < until) {
                Thread.sleep(100);
                step.writeLog(log);
            }
            same(null, step.status(), "status while it runs");
            step.kill();
            String left = node.run("/bin/sh", "-c", "grep -lza 'JENKINS_SERVER_COOKIE=" + step.cookie()
                    + "' /proc/[0-9]*/environ 2>/dev/null | wc -l");
            same("0", left.trim(), "processes left");
            step.clean();
        });
        checks.check("sh: pushed log, then exited", this::pushed);
    }

    private void pushed() throws Exception {
        ByteArrayOutputStream log = new ByteArrayOutputStream();
        CompletableFuture<String> end = new CompletableFuture<>();
        ExecutionRemotable execution = new ExecutionRemotable() {
            @Override
            public void exited(int code, byte[] output) {
                // What was written before this call must be here by now.
                end.complete(code + ":" + log.toString(StandardCharsets.UTF_8));
            }

            @Override
            public void problem(Exception problem) {
                end.completeExceptionally(problem);
            }
        };
        ShellStep step = new ShellStep(node, workspace, false);
        step.start("set +x\nfor i in 1 2 3; do echo pushed $i; sleep 0.2; done\nexit 4", Conformance.nowhere());
        TaskListener listener = new NewlineSafeTaskListener(Node.pipeline(slow(log)));
        ShellController controller = new ShellController(step.controlDirectory(), "check", step.cookie());
        ExecutionRemotable proxy = node.channel().export(ExecutionRemotable.class, execution);
        node.on(workspace, new StartWatching(controller, new HandlerImpl(proxy, listener), listener));
        String result = end.get(30, TimeUnit.SECONDS);
        require(result.startsWith("4:"), "exit code and log are " + result);
        require(result.contains("pushed 1\npushed 2\npushed 3\n"), "the log was not complete at exited: " + result);
        node.on(step.controlDirectory(), new FilePath.DeleteRecursive());
        step.clean();
    }

    private static OutputStream slow(OutputStream target) {
        return new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                write(new byte[] {(byte) b}, 0, 1);
            }

            @Override
            public void write(byte[] source, int offset, int length) throws IOException {
                try {
                    Thread.sleep(50);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new IOException(e);
                }
                target.write(source, offset, length);
            }
        };
    }
}

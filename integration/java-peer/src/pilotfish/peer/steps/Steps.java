package pilotfish.peer.steps;

import hudson.remoting.Channel;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.ShellStep;
import pilotfish.peer.net.AgentConnection;

/**
 * Runs one step for each line of standard input: a verb, the container ({@code -} for the agent's own), and the rest.
 * Verbs are {@code sh} with a script, {@code abort} with a script that is killed once it has said something, and
 * {@code exec} with the words of a command. Answers {@code > OUTPUT} lines, then {@code = EXIT CODE}, or {@code ! WHY}
 * when the step could not be run.
 */
public final class Steps {
    private static final long SAYS_SOMETHING_SECONDS = 30;

    private final Node node;
    private final String workspace;
    private final PrintStream answers;

    private Steps(Node node, PrintStream answers) {
        this.node = node;
        this.workspace = node.path("workspace/steps");
        this.answers = answers;
    }

    /** Answers the exit code of the program: 0 when the protocol was kept, whatever the steps did. */
    public static int run(AgentConnection agent, String root) throws Exception {
        Channel channel = agent.channel();
        ConnectSequence sequence = new ConnectSequence(channel, root);
        sequence.setUp();
        System.out.println("online");
        Steps steps = new Steps(new Node(channel, root), System.out);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) steps.step(line);
        channel.close();
        channel.closed().get(10, TimeUnit.SECONDS);
        for (String complaint : channel.complaints()) System.err.println("The agent broke the protocol: " + complaint);
        return channel.complaints().isEmpty() ? 0 : 1;
    }

    private void step(String line) throws InterruptedException {
        String[] parts = line.split(" ", 3);
        if (parts.length < 3) throw new IllegalArgumentException("expected VERB CONTAINER REST, got: " + line);
        ByteArrayOutputStream log = new ByteArrayOutputStream();
        String result;
        try {
            result = "= " + switch (parts[0]) {
                case "sh" -> shell(parts[1]).run(parts[2], log);
                case "abort" -> abort(shell(parts[1]), parts[2], log);
                case "exec" -> exec(parts[1], parts[2].split(" "), log);
                default -> throw new IllegalArgumentException("unknown verb " + parts[0]);
            };
        } catch (IOException e) {
            result = "! " + String.valueOf(e.getMessage()).replace('\n', ' ');
        }
        for (String said : log.toString(StandardCharsets.UTF_8).split("\n")) {
            if (!said.isEmpty()) answers.println("> " + said);
        }
        answers.println(result);
        answers.flush();
    }

    private ShellStep shell(String container) {
        ShellStep step = new ShellStep(node, workspace, false);
        return container.equals("-") ? step : step.in(container);
    }

    private int abort(ShellStep step, String script, OutputStream log) throws IOException, InterruptedException {
        step.start(script, log);
        long begin = System.nanoTime();
        // With -x the script's first command comes first, then what that says.
        ByteArrayOutputStream seen = new ByteArrayOutputStream();
        while (seen.toString(StandardCharsets.UTF_8).lines().noneMatch(said -> !said.startsWith("+"))) {
            if (System.nanoTime() - begin > TimeUnit.SECONDS.toNanos(SAYS_SOMETHING_SECONDS)) throw new IOException("the script said nothing");
            Thread.sleep(100);
            step.writeLog(seen);
        }
        seen.writeTo(log);
        step.kill();
        int code = step.follow(log);
        step.clean();
        return code;
    }

    private int exec(String container, String[] command, OutputStream log) throws IOException, InterruptedException {
        Node.Launch launch = new Node.Launch(command);
        launch.directory = node.path("");
        launch.out = log;
        launch.listener = Node.freestyle(OutputStream.nullOutputStream());
        if (!container.equals("-")) launch.environment = new String[] {ShellStep.CONTAINER + "=" + container};
        return node.launch(launch).finish();
    }
}

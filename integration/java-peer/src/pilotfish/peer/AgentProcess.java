package pilotfish.peer;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The agent under test as the system sees it. */
public final class AgentProcess {
    private final ProcessHandle agent;

    public AgentProcess(Process agent) {
        this.agent = agent.toHandle();
    }

    /** The agent's JVMs that run now. */
    public List<ProcessHandle> jvms() {
        return agent.children().filter(ProcessHandle::isAlive)
                .filter(child -> child.info().command().map(command -> new File(command).getName().equals("java")).orElse(false)).toList();
    }

    /** Its one JVM. */
    public ProcessHandle jvm() {
        List<ProcessHandle> all = jvms();
        require(all.size() == 1, "the agent has " + all.size() + " JVMs");
        return all.get(0);
    }

    public void noJvm() {
        require(jvms().isEmpty(), "the agent has a JVM: " + jvms());
    }

    /** Waits until the process is gone. */
    public static void ended(ProcessHandle process, long seconds) throws Exception {
        try {
            process.onExit().get(seconds, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new AssertionError("process " + process.pid() + " did not end within " + seconds + " s", e);
        }
    }

    public static void signal(ProcessHandle process, String name) throws IOException, InterruptedException {
        Process kill = new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).inheritIO().start();
        require(kill.waitFor() == 0, "kill -" + name + " failed");
    }

    /** Stops the process, and waits until all its threads have stopped. */
    public static void stop(ProcessHandle process) throws IOException, InterruptedException {
        signal(process, "STOP");
        for (int i = 0; i < 500; i++) {
            if (states(process).stream().allMatch("T"::equals)) return;
            Thread.sleep(10);
        }
        throw new AssertionError("process " + process.pid() + " does not stop: " + states(process));
    }

    private static List<String> states(ProcessHandle process) throws IOException {
        try (var threads = Files.list(Path.of("/proc", Long.toString(process.pid()), "task"))) {
            return threads.map(thread -> {
                try {
                    String stat = Files.readString(thread.resolve("stat"));
                    // The name before it may hold anything but the last parenthesis.
                    return stat.substring(stat.lastIndexOf(')') + 2).substring(0, 1);
                } catch (IOException e) {
                    // A thread that has ended says no more.
                    return "T";
                }
            }).toList();
        }
    }

    public Path directory() throws IOException {
        return Path.of("/proc", Long.toString(agent.pid()), "cwd").toRealPath();
    }

    public int descriptors() {
        return entries("fd");
    }

    /** What each descriptor is. */
    public List<String> opened() throws IOException {
        try (var links = Files.list(Path.of("/proc", Long.toString(agent.pid()), "fd"))) {
            return links.map(link -> {
                try {
                    return link.getFileName() + " " + Files.readSymbolicLink(link);
                } catch (IOException e) {
                    return link.getFileName() + " gone";
                }
            }).sorted().toList();
        }
    }

    public int threads() {
        return entries("task");
    }

    public long pid() {
        return agent.pid();
    }

    private int entries(String folder) {
        String[] names = new File("/proc/" + agent.pid() + "/" + folder).list();
        require(names != null, "the agent is gone");
        return names.length;
    }

    /** Removes what the agent keeps of the library below its directory; answers how many files that were. */
    public static int forgetLibrary(String root) throws IOException {
        try (var files = Files.walk(Path.of(root))) {
            List<Path> jars = files.filter(file -> file.getFileName().toString().matches("remoting-[0-9a-f]+\\.jar")).toList();
            for (Path jar : jars) Files.delete(jar);
            return jars.size();
        }
    }

    private static void require(boolean condition, String otherwise) {
        if (!condition) throw new AssertionError(otherwise);
    }
}

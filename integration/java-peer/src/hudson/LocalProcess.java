package hudson;

import hudson.remoting.Channel;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** A process started by {@link Launcher.RemoteLaunchCallable} where it is executed in Java. */
final class LocalProcess implements Launcher.RemoteProcess {
    private final Process process;
    private final Launcher.IOTriplet streams = new Launcher.IOTriplet();
    private final List<Thread> pumps = new ArrayList<>();

    LocalProcess(Launcher.RemoteLaunchCallable launch) throws IOException {
        if (!launch.quiet()) printCommand(launch);
        if (launch.workDir() != null && !new File(launch.workDir()).isDirectory()) {
            throw new IOException("Process working directory '" + launch.workDir() + "' doesn't exist!");
        }
        EnvVars environment = new EnvVars(System.getenv());
        EnvRules.override(environment, launch.env());
        ProcessBuilder builder = new ProcessBuilder(launch.cmd().stream().map(arg -> EnvRules.expand(arg, environment)).toList());
        if (launch.workDir() != null) builder.directory(new File(launch.workDir()));
        builder.environment().clear();
        builder.environment().putAll(environment);
        builder.redirectErrorStream(launch.err() == null && !launch.reverseStderr());
        process = builder.start();
        connect(launch);
    }

    private static void printCommand(Launcher.RemoteLaunchCallable launch) throws IOException {
        StringBuilder line = new StringBuilder();
        if (launch.workDir() != null) line.append('[').append(new File(launch.workDir()).getName()).append("] ");
        line.append('$');
        for (int i = 0; i < launch.cmd().size(); i++) {
            boolean masked = launch.masks() != null && launch.masks()[i];
            String argument = launch.cmd().get(i);
            String quote = !argument.contains(" ") || masked ? "" : argument.contains("\"") ? "'" : "\"";
            line.append(' ').append(quote).append(masked ? "********" : argument).append(quote);
        }
        OutputStream log = launch.listener().log();
        log.write(line.append('\n').toString().getBytes(StandardCharsets.UTF_8));
        log.flush();
    }

    private void connect(Launcher.RemoteLaunchCallable launch) throws IOException {
        if (launch.reverseStdin()) streams.stdin = Launcher.travelling(process.getOutputStream());
        else if (launch.in() != null) pump(launch.in(), process.getOutputStream(), true);
        else process.getOutputStream().close();
        if (launch.reverseStdout()) {
            streams.stdout = Launcher.travelling(process.getInputStream());
        } else {
            OutputStream target = launch.out() != null ? launch.out() : launch.stdoutListener().log();
            pump(process.getInputStream(), target, false);
        }
        if (launch.reverseStderr()) streams.stderr = Launcher.travelling(process.getErrorStream());
        else if (launch.err() != null) pump(process.getErrorStream(), launch.err(), false);
    }

    private void pump(InputStream in, OutputStream out, boolean stdin) {
        Thread thread = new Thread(() -> {
            try {
                in.transferTo(out);
                if (!stdin) out.flush();
            } catch (IOException e) {
                // The process or the channel is gone.
            }
            if (stdin) closeBoth(in, out);
        }, "process pump");
        thread.setDaemon(true);
        thread.start();
        if (!stdin) pumps.add(thread);
    }

    /** The controller's stream is released by closing it, read to its end or not. */
    private static void closeBoth(InputStream in, OutputStream out) {
        try (in; out) {
            out.flush();
        } catch (IOException e) {
            // The process or the channel is gone.
        }
    }

    @Override
    public int join() throws InterruptedException, IOException {
        try {
            int code = process.waitFor();
            for (Thread pump : pumps) pump.join(10_000);
            // All output must be in before the answer: the pumps wrote in other threads.
            Channel.current().syncIO();
            return code;
        } catch (InterruptedException e) {
            kill();
            throw e;
        }
    }

    @Override
    public void kill() {
        process.descendants().forEach(ProcessHandle::destroy);
        process.destroy();
    }

    @Override
    public boolean isAlive() {
        return process.isAlive();
    }

    @Override
    public Launcher.IOTriplet getIOtriplet() {
        return streams;
    }

    static void killMatching(Map<String, String> wanted) {
        if (wanted.isEmpty()) return;
        ProcessHandle.allProcesses().filter(handle -> handle.pid() != ProcessHandle.current().pid()).filter(handle -> {
            try {
                String all = new String(Files.readAllBytes(Path.of("/proc/" + handle.pid() + "/environ")), StandardCharsets.UTF_8);
                List<String> pairs = Arrays.asList(all.split("\0"));
                return wanted.entrySet().stream().allMatch(entry -> pairs.contains(entry.getKey() + "=" + entry.getValue()));
            } catch (IOException e) {
                return false;
            }
        }).forEach(ProcessHandle::destroy);
    }
}

package org.jenkinsci.plugins.durabletask;

import hudson.model.TaskListener;
import hudson.remoting.VirtualChannel;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import jenkins.MasterToSlaveFileCallable;
import jenkins.security.MasterToSlaveCallable;

/** Home of the callables of {@code sh} (agent-callables 3). */
public final class FileMonitoringTask {
    private FileMonitoringTask() {}

    /** Where a task keeps its files. */
    public abstract static class FileMonitoringController extends Controller {
        private static final long serialVersionUID = 1L;
        private final String id;
        final String controlDir;
        private final String cookieValue;
        private long lastLocation;
        private String charset;

        FileMonitoringController(String controlDir, String id, String cookieValue) {
            this.controlDir = controlDir;
            this.id = id;
            this.cookieValue = cookieValue;
        }

        /** Sends the log's tail into the sink and releases it. */
        public static final class WriteLog extends MasterToSlaveFileCallable<Void> {
            private static final long serialVersionUID = 9158495538758751160L;
            private final long lastLocation;
            private final OutputStream sink;

            public WriteLog(long lastLocation, OutputStream sink) {
                this.lastLocation = lastLocation;
                this.sink = sink;
            }

            @Override
            public Void invoke(File log, VirtualChannel channel) throws IOException {
                if (log.length() <= lastLocation) return null;
                try (InputStream in = Files.newInputStream(log.toPath())) {
                    in.skipNBytes(lastLocation);
                    sink.write(in.readNBytes((int) (log.length() - lastLocation)));
                }
                return null;
            }
        }

        /** Answers the exit code or null while the task runs. */
        public static final class StatusCheck extends MasterToSlaveFileCallable<Integer> {
            private static final long serialVersionUID = 5735394101254645562L;

            @Override
            public Integer invoke(File result, VirtualChannel channel) throws IOException {
                if (result.length() == 0) return null;
                String text = Files.readString(result.toPath()).trim();
                try {
                    return text.isEmpty() ? null : (int) Math.min(Integer.MAX_VALUE, Long.parseLong(text));
                } catch (NumberFormatException e) {
                    throw new IOException("corrupted content in " + result + ": " + e, e);
                }
            }
        }

        /** Answers null for UTF-8. */
        public static final class TranscodingCharsetForSystemDefault extends MasterToSlaveCallable<String, RuntimeException> {
            private static final long serialVersionUID = -4652530080013464339L;

            @Override
            public String call() {
                return null;
            }
        }

        /** Answers the output as UTF-8. */
        public static final class GetOutput extends MasterToSlaveFileCallable<byte[]> {
            private final String charset;

            public GetOutput(String charset) {
                this.charset = charset;
            }

            @Override
            public byte[] invoke(File file, VirtualChannel channel) throws IOException {
                return Files.readAllBytes(file.toPath());
            }
        }
    }

    /** Push mode: starts a watcher, answers at once. */
    public static final class StartWatching extends MasterToSlaveFileCallable<Void> {
        private static final long serialVersionUID = 1L;
        private final FileMonitoringController controller;
        private final Handler handler;
        private final TaskListener listener;

        public StartWatching(FileMonitoringController controller, Handler handler, TaskListener listener) {
            this.controller = controller;
            this.handler = handler;
            this.listener = listener;
        }

        @Override
        public Void invoke(File workspace, VirtualChannel channel) {
            Thread watcher = new Thread(this::watch, "watching " + controller.controlDir);
            watcher.setDaemon(true);
            watcher.start();
            return null;
        }

        private void watch() {
            Path directory = Path.of(controller.controlDir);
            int seen = 0;
            try {
                while (Files.isDirectory(directory)) {
                    Integer code = new FileMonitoringController.StatusCheck().invoke(directory.resolve("jenkins-result.txt").toFile(), null);
                    Path log = directory.resolve("jenkins-log.txt");
                    byte[] all = Files.exists(log) ? Files.readAllBytes(log) : new byte[0];
                    if (all.length > seen) handler.output(new ByteArrayInputStream(all, seen, all.length - seen));
                    seen = all.length;
                    if (code != null) {
                        handler.exited(code, null);
                        return;
                    }
                    Thread.sleep(100);
                }
            } catch (Exception e) {
                // The channel is gone; the controller starts another watcher when it is back.
            }
        }
    }
}

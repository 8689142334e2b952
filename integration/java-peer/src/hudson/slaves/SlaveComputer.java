package hudson.slaves;

import java.io.IOException;
import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import jenkins.security.MasterToSlaveCallable;

/** Home of what is asked right after connecting and by the agent's pages (agent-callables 1). */
public final class SlaveComputer {
    private SlaveComputer() {}

    /** Answers the remoting version. */
    public static final class SlaveVersion extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = -1836292471078227186L;

        @Override
        public String call() {
            return "3355.v388858a_47b_33";
        }
    }

    /** Answers the name of the transport. */
    public static final class CommunicationProtocol extends MasterToSlaveCallable<String, Exception> {
        private static final long serialVersionUID = 5456434590258227786L;

        @Override
        public String call() {
            return "WebSocket";
        }
    }

    /** Answers whether the agent runs on a Unix. */
    public static final class DetectOS extends MasterToSlaveCallable<Boolean, IOException> {
        private static final long serialVersionUID = -2305095165897831376L;

        @Override
        public Boolean call() {
            return java.io.File.pathSeparatorChar == ':';
        }
    }

    /** Answers the name of the default charset. */
    public static final class DetectDefaultCharset extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = -5851131978410997033L;

        @Override
        public String call() {
            return Charset.defaultCharset().name();
        }
    }

    /** Installs the agent's log buffer. */
    public static final class SlaveInitializer extends MasterToSlaveCallable<Void, RuntimeException> {
        private static final long serialVersionUID = 1L;
        private final int ringBufferSize;

        public SlaveInitializer(int ringBufferSize) {
            this.ringBufferSize = ringBufferSize;
        }

        @Override
        public Void call() {
            return null;
        }
    }

    /** Answers the log records. */
    public static final class SlaveLogFetcher extends MasterToSlaveCallable<List<Object>, RuntimeException> {
        private static final long serialVersionUID = 1L;

        @Override
        public List<Object> call() {
            return new ArrayList<>();
        }
    }

    /** Answers the whole environment. */
    public static final class ListFullEnvironment extends MasterToSlaveCallable<TreeMap<String, String>, IOException> {
        private static final long serialVersionUID = 1L;

        @Override
        public TreeMap<String, String> call() {
            return new TreeMap<>(System.getenv());
        }
    }
}

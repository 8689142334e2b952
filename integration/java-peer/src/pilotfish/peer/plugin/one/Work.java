package pilotfish.peer.plugin.one;

import hudson.remoting.Callable;
import hudson.remoting.Channel;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import jenkins.security.MasterToSlaveCallable;
import jenkins.security.SlaveToMasterCallable;

/** What a plugin sends to agents: its classes are nowhere but on the controller. */
public final class Work {
    private Work() {}

    /** Answers a text made with a class that no request names. */
    public static final class Greet extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;
        private final String name;

        public Greet(String name) {
            this.name = name;
        }

        @Override
        public String call() {
            // Standard output belongs to the protocol, and plugins print.
            System.out.println("greeting " + name);
            return Words.hello(name);
        }
    }

    private static final class Words {
        static String hello(String name) {
            return "hello " + name;
        }
    }

    /** A failure of the plugin's own. */
    public static final class Trouble extends IOException {
        private static final long serialVersionUID = 1;
        private final int code;

        Trouble(int code) {
            super("trouble " + code);
            this.code = code;
        }

        public int code() {
            return code;
        }
    }

    /** Throws. */
    public static final class Fail extends MasterToSlaveCallable<Void, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public Void call() throws IOException {
            throw new Trouble(7);
        }
    }

    /** A value whose class has no constructor to bypass. */
    public record Point(int x, String label) implements Serializable {}

    /** Answers what it was given. */
    public static final class Echo extends MasterToSlaveCallable<Object, IOException> {
        private static final long serialVersionUID = 1;
        private final Object value;

        public Echo(Object value) {
            this.value = value;
        }

        @Override
        public Object call() {
            return value;
        }
    }

    /** What the process knows of itself. */
    public record Facts(long pid, String property, String directory, String secret, String agent, String loader, boolean context)
            implements Serializable {}

    /** Answers {@link Facts}. */
    public static final class Look extends MasterToSlaveCallable<Facts, IOException> {
        private static final long serialVersionUID = 1;
        private final String property;

        public Look(String property) {
            this.property = property;
        }

        @Override
        public Facts call() {
            ClassLoader own = getClass().getClassLoader();
            return new Facts(ProcessHandle.current().pid(), System.getProperty(property), System.getProperty("user.dir"),
                    System.getenv("JENKINS_SECRET"), String.valueOf(Channel.current().getProperty("agent")), own.getName(),
                    Thread.currentThread().getContextClassLoader() == own);
        }
    }

    /** Waits until it is interrupted. */
    public static final class Wait extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;
        private final Begun begun;

        public Wait(Begun begun) {
            this.begun = begun;
        }

        @Override
        public String call() {
            try {
                begun.begun();
                Thread.sleep(600_000);
                return "slept";
            } catch (InterruptedException e) {
                return "interrupted";
            }
        }
    }

    /** Told when a request is being run. */
    public interface Begun {
        void begun() throws InterruptedException;
    }

    /** Takes all memory there is. */
    public static final class Eat extends MasterToSlaveCallable<Integer, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public Integer call() {
            List<byte[]> eaten = new ArrayList<>();
            while (true) eaten.add(new byte[4 << 20]);
        }
    }

    /** Has the collector run and answers what was wrong with the commands that came. */
    public static final class Collect extends MasterToSlaveCallable<ArrayList<String>, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public ArrayList<String> call() {
            System.gc();
            return new ArrayList<>(Channel.current().complaints());
        }
    }

    /** Hashes what comes. */
    public static final class Hashing extends OutputStream {
        private static Hashing last;
        private final MessageDigest digest = sha256();
        private boolean closed;

        @Override
        public void write(int b) {
            digest.update((byte) b);
        }

        @Override
        public synchronized void write(byte[] source, int offset, int length) {
            digest.update(source, offset, length);
        }

        @Override
        public synchronized void close() {
            closed = true;
        }

        synchronized String hash() {
            return HexFormat.of().formatHex(digest.digest()) + (closed ? "" : " and open");
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Answers a stream to write to. */
    public static final class Open extends MasterToSlaveCallable<OutputStream, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public OutputStream call() {
            Hashing.last = new Hashing();
            return new RemoteOutputStream(Hashing.last);
        }
    }

    /** Answers the hash of what was written to the stream, and whether it was closed. */
    public static final class Opened extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public String call() {
            return Hashing.last.hash();
        }
    }

    private static final class Counting extends OutputStream {
        private static volatile Counting last;
        private long count;

        @Override
        public void write(int b) {
            count++;
        }

        @Override
        public void write(byte[] source, int offset, int length) {
            count += length;
        }
    }

    /** Answers a stream that keeps nothing. */
    public static final class Discard extends MasterToSlaveCallable<OutputStream, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public OutputStream call() {
            Counting.last = new Counting();
            return new RemoteOutputStream(Counting.last);
        }
    }

    /** Answers how many bytes were written to it. */
    public static final class Discarded extends MasterToSlaveCallable<Long, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public Long call() {
            return Counting.last.count;
        }
    }

    /** Writes a file's contents to a stream of the caller, again and again. */
    public static final class Send extends MasterToSlaveCallable<Long, IOException> {
        private static final long serialVersionUID = 1;
        private final String file;
        private final int times;
        private final OutputStream sink;
        private final Pipe pipe;

        public Send(String file, int times, OutputStream sink, Pipe pipe) {
            this.file = file;
            this.times = times;
            this.sink = sink;
            this.pipe = pipe;
        }

        @Override
        public Long call() throws IOException {
            OutputStream out = pipe == null ? sink : pipe.getOut();
            long sent = 0;
            for (int i = 0; i < times; i++) sent += Files.copy(Path.of(file), out);
            out.close();
            return sent;
        }
    }

    /** Answers the hash of a stream of the caller. */
    public static final class Receive extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;
        private final InputStream in;
        private final Pipe pipe;

        public Receive(InputStream in, Pipe pipe) {
            this.in = in;
            this.pipe = pipe;
        }

        @Override
        public String call() throws IOException {
            Hashing sink = new Hashing();
            try (InputStream source = pipe == null ? in : pipe.getIn(); sink) {
                source.transferTo(sink);
            }
            return sink.hash();
        }
    }

    /** Answers the hash of a file of the agent. */
    public static final class HashFile extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;
        private final String file;

        public HashFile(String file) {
            this.file = file;
        }

        @Override
        public String call() throws IOException {
            Hashing sink = new Hashing();
            Files.copy(Path.of(file), sink);
            sink.close();
            return sink.hash();
        }
    }

    /** An object with a state, such as a client of some tool. */
    public interface Counter {
        int add(int more);
    }

    private static final class Counted implements Counter {
        private int sum;

        @Override
        public synchronized int add(int more) {
            sum += more;
            return sum;
        }
    }

    /** Answers a counter that stays where it was made. */
    public static final class MakeCounter extends MasterToSlaveCallable<Counter, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public Counter call() {
            return Channel.current().export(Counter.class, new Counted());
        }
    }

    /** Adds to a counter, wherever it is, and answers the sum and whether it is at home. */
    public static final class Add extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;
        private final Object counter;
        private final int more;

        public Add(Object counter, int more) {
            this.counter = counter;
            this.more = more;
        }

        @Override
        public String call() {
            int sum = ((Counter) counter).add(more);
            return sum + (Proxy.isProxyClass(counter.getClass()) ? " far" : " home");
        }
    }

    /** Asks the controller. */
    public static final class Ask extends MasterToSlaveCallable<String, Exception> {
        private static final long serialVersionUID = 1;
        private final boolean allowed;

        public Ask(boolean allowed) {
            this.allowed = allowed;
        }

        @Override
        public String call() throws Exception {
            Callable<String, Exception> question = allowed ? new Question() : new Forbidden();
            return Channel.current().call(question) + " for " + ProcessHandle.current().pid();
        }
    }

    /** Run on the controller. */
    public static final class Question extends SlaveToMasterCallable<String, Exception> {
        private static final long serialVersionUID = 1;

        @Override
        public String call() {
            return "from " + ProcessHandle.current().pid();
        }
    }

    /** Not to be run there. */
    public static final class Forbidden extends MasterToSlaveCallable<String, Exception> {
        private static final long serialVersionUID = 1;

        @Override
        public String call() {
            return "it was run";
        }
    }
}

package pilotfish.jvm;

import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Starts a remoting channel on standard input and output whose ids no earlier JVM of the same
 * connection has used, so that a JVM that died can be replaced without a new connection.
 *
 * <p>Arguments: number of JVMs before this one on the connection, name of the channel, directory of
 * the jar cache. The remoting library is that of the controller, in whatever version, so everything
 * of it is reached by reflection. Where a part that only makes life nicer is missing, the channel
 * starts without it; where the ids cannot be set, the JVM ends with {@link #CANNOT_RENUMBER}.
 */
public final class Launcher {
    /** Exit status: a field that counts ids has another name or type in this remoting library. */
    static final int CANNOT_RENUMBER = 97;

    /** Ids that one JVM may use: of requests, exported objects and I/Os each. */
    static final int IDS = 0x0100_0000;

    private static final String REMOTING = "hudson.remoting.";

    private Launcher() {}

    public static void main(String[] arguments) throws Exception {
        int generation = Integer.parseInt(arguments[0]);
        int first = generation * IDS;
        OutputStream output = standardOutput();
        Gate input = new Gate(System.in);
        // Code of plugins that prints or reads must not meet the protocol.
        System.setOut(System.err);
        System.setIn(InputStream.nullInputStream());

        if (generation > 0) {
            renumber(() -> field(Class.forName(REMOTING + "Request"), "nextId").setInt(null, first));
        }
        Object channel = build(arguments[1], new File(arguments[2]), input, output);
        if (generation > 0) {
            renumber(() -> {
                Object exports = field(channel.getClass(), "exportedObjects").get(channel);
                Field next = field(exports.getClass(), "iota");
                // What the constructor exported keeps its number: peers rely on 1 for the channel.
                next.setInt(exports, next.getInt(exports) + first);
                ((AtomicInteger) field(channel.getClass(), "ioId").get(channel)).addAndGet(first);
            });
        }
        input.open();
        channel.getClass().getMethod("join").invoke(channel);
        System.exit(0);
    }

    private interface Step {
        void run() throws ReflectiveOperationException;
    }

    private static void renumber(Step step) {
        try {
            step.run();
        } catch (ReflectiveOperationException | RuntimeException problem) {
            System.err.println("cannot set the ids of the remoting library: " + problem);
            System.exit(CANNOT_RENUMBER);
        }
    }

    private static Object build(String name, File jars, InputStream input, OutputStream output)
            throws Exception {
        ExecutorService executor = Executors.newCachedThreadPool();
        Class<?> type = Class.forName(REMOTING + "ChannelBuilder");
        Object builder =
                type.getConstructor(String.class, ExecutorService.class).newInstance(name, executor);
        Class<?> cache = Class.forName(REMOTING + "JarCache");
        Object jarCache =
                Class.forName(REMOTING + "FileSystemJarCache")
                        .getConstructor(File.class, boolean.class)
                        .newInstance(jars, true);
        type.getMethod("withJarCache", cache).invoke(builder, jarCache);
        Class<?> mode = Class.forName(REMOTING + "Channel$Mode");
        Object binary = mode.getField("BINARY").get(null);
        type.getMethod("withMode", mode).invoke(builder, binary);
        property(type, builder, "slave", Boolean.TRUE);
        property(type, builder, "agent", Boolean.TRUE);
        property(type, builder, output.getClass(), output);
        try {
            return type.getMethod("build", InputStream.class, OutputStream.class)
                    .invoke(builder, input, output);
        } catch (InvocationTargetException failed) {
            if (failed.getCause() instanceof IOException) {
                throw (IOException) failed.getCause();
            }
            throw failed;
        }
    }

    private static void property(Class<?> type, Object builder, Object key, Object value) {
        try {
            type.getMethod("withProperty", Object.class, Object.class).invoke(builder, key, value);
        } catch (ReflectiveOperationException olderLibrary) {
            // Its channels have no properties to set before they run, and nobody asks for them.
        }
    }

    /** The library's own wrapper of standard output, which callables look for on the channel. */
    private static OutputStream standardOutput() {
        try {
            Constructor<?> make =
                    Class.forName(REMOTING + "StandardOutputStream").getDeclaredConstructor();
            make.setAccessible(true);
            return (OutputStream) make.newInstance();
        } catch (ReflectiveOperationException | RuntimeException olderLibrary) {
            return new FileOutputStream(FileDescriptor.out);
        }
    }

    private static Field field(Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    /**
     * Lets only the thread that made it read, until it is opened: the channel's reader must see no
     * command before the ids are set.
     */
    private static final class Gate extends InputStream {
        private final InputStream input;
        private final Thread owner = Thread.currentThread();
        private final CountDownLatch opened = new CountDownLatch(1);

        Gate(InputStream input) {
            this.input = input;
        }

        void open() {
            opened.countDown();
        }

        private void pass() throws IOException {
            if (Thread.currentThread() == owner) {
                return;
            }
            try {
                opened.await();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted before the channel was ready", interrupted);
            }
        }

        @Override
        public int read() throws IOException {
            pass();
            return input.read();
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            pass();
            return input.read(bytes, offset, length);
        }

        @Override
        public int available() throws IOException {
            return input.available();
        }

        @Override
        public void close() throws IOException {
            input.close();
        }
    }
}

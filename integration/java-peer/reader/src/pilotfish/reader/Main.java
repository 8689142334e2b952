package pilotfish.reader;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.ObjectStreamClass;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Reads a dump of the commands that an agent sent with the classes of a library that others wrote
 * ({@code org.eclipse.hudson:hudson-remoting:3.0.3}) and fails on the first kind of thing it cannot read.
 */
public final class Main {
    /** Classes of the protocol that are younger than the library; nothing else may be missing in it. */
    private static final Set<String> YOUNGER = Set.of(
            "hudson.remoting.UserRequest$NormalResponse",
            "hudson.remoting.UserRequest$ExceptionResponse",
            "hudson.remoting.RemoteInvocationHandler$UserRPCRequest",
            "hudson.remoting.Channel$IOSyncer",
            "hudson.remoting.ProxyWriter$Flush",
            "hudson.remoting.ProxyWriter$Unexport",
            "hudson.remoting.ProxyWriter$Ack",
            "hudson.remoting.ProxyWriter$NotifyDeadWriter");
    private static final int LARGEST = 256 << 20;

    private final Map<String, Integer> commands = new TreeMap<>();
    private final Set<String> failures = new TreeSet<>();
    private final Findings findings = new Findings();
    private int payloads;

    private Main() {}

    public static void main(String[] args) throws IOException {
        if (args.length != 1) {
            System.err.println("usage: pilotfish.reader.Main DUMP");
            System.exit(2);
        }
        System.exit(new Main().run(Path.of(args[0])));
    }

    private int run(Path dump) throws IOException {
        int count = 0;
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(dump)))) {
            while (true) {
                int length;
                try {
                    length = in.readInt();
                } catch (EOFException end) {
                    break;
                }
                if (length <= 0 || length > LARGEST) throw new IOException("command " + count + " has length " + length);
                command(in.readNBytes(length), count++);
            }
        }
        commands.forEach((name, number) -> System.out.printf("%7d %s%n", number, name));
        System.out.println(count + " commands and " + payloads + " payloads read");
        System.out.println("classes of payloads outside the library: " + findings.foreign());
        System.out.println("classes of the protocol unknown to the library: " + findings.unknown());
        Set<String> unexpected = new TreeSet<>(findings.unknown());
        unexpected.removeAll(YOUNGER);
        if (!unexpected.isEmpty()) failures.add("unknown to the library and not on the list: " + unexpected);
        failures.addAll(findings.breaches());
        if (count == 0) failures.add("the dump is empty");
        failures.forEach(failure -> System.out.println("FAILED " + failure));
        return failures.isEmpty() ? 0 : 1;
    }

    private void command(byte[] bytes, int number) {
        try (OuterReader in = new OuterReader(bytes, findings)) {
            Object command = in.readObject();
            if (in.read() >= 0) failures.add("bytes after a " + command.getClass().getName());
            commands.merge(command.getClass().getName(), 1, Integer::sum);
            Class<?> base = Class.forName("hudson.remoting.Command");
            if (!base.isInstance(command)) failures.add(command.getClass().getName() + " is no Command");
            nested(command);
            Object answer = field(command, "returnValue");
            if (answer != null) nested(answer);
        } catch (IOException | ReflectiveOperationException | RuntimeException e) {
            failures.add("command " + number + ": " + e + nameOf(bytes));
        }
    }

    private static String nameOf(byte[] bytes) {
        String text = new String(bytes, 0, Math.min(bytes.length, 80), java.nio.charset.StandardCharsets.ISO_8859_1);
        int at = text.indexOf("hudson.");
        return at < 0 ? "" : " in " + text.substring(at).split("[^\\w.$]")[0];
    }

    /** Reads the user streams in the byte array fields of a request or answer. */
    private void nested(Object holder) {
        for (String name : new String[] {"request", "response", "rawResponse", "proxyResponse"}) {
            Object value = field(holder, name);
            if (!(value instanceof byte[] bytes)) continue;
            payloads++;
            try (UserReader in = new UserReader(bytes, findings)) {
                in.readObject();
                if (in.read() >= 0) failures.add("bytes after a payload");
            } catch (UserReader.Foreign e) {
                // A class of Jenkins itself: the library cannot know it, the peer reads it.
            } catch (IOException | ClassNotFoundException | RuntimeException e) {
                failures.add("payload " + name + " of " + holder.getClass().getName() + ": " + e);
            }
        }
    }

    /** Value of a field of the object or its superclasses, or null. */
    private static Object field(Object object, String name) {
        for (Class<?> type = object.getClass(); type != null && ObjectStreamClass.lookup(type) != null; type = type.getSuperclass()) {
            try {
                Field field = type.getDeclaredField(name);
                field.setAccessible(true);
                return field.get(object);
            } catch (NoSuchFieldException e) {
                // Perhaps in the superclass.
            } catch (IllegalAccessException e) {
                throw new IllegalStateException(e);
            }
        }
        return null;
    }
}

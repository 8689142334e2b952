package pilotfish.reader;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;

/** Reads a payload: takes the loader annotation of every class and checks its form. */
final class UserReader extends ObjectInputStream {
    private static final int BOOT = -3;

    private final Findings findings;
    private int mentioned;

    /** A class of Jenkins or a plugin in the payload. */
    static final class Foreign extends ClassNotFoundException {
        private static final long serialVersionUID = 1L;

        Foreign(String name) {
            super(name);
        }
    }

    UserReader(byte[] bytes, Findings findings) throws IOException {
        super(new ByteArrayInputStream(bytes));
        this.findings = findings;
    }

    /** True for a class of the boot loader. */
    private boolean boot(String name) throws IOException {
        int tag = readInt();
        if (tag == -1 || tag == -2) {
            int oid = readInt();
            if (oid <= 0) findings.breaches().add("loader oid " + oid + " on " + name);
            mentioned++;
        } else if (tag != BOOT && (tag < 0 || tag >= mentioned)) {
            findings.breaches().add("loader tag " + tag + " on " + name);
        }
        if (available() > 0) findings.breaches().add("more than a loader tag on " + name);
        return tag == BOOT;
    }

    @Override
    protected Class<?> resolveClass(ObjectStreamClass desc) throws IOException, ClassNotFoundException {
        String name = desc.getName();
        boolean boot = boot(name);
        String element = name.replaceFirst("^\\[+L?", "");
        if (element.startsWith("hudson.remoting.")) {
            if (boot) findings.breaches().add(name + " is said to be of the boot loader");
            return findings.protocolClass(desc);
        }
        boolean jdk = element.startsWith("java.") || name.startsWith("[") && element.length() <= 1;
        if (jdk) {
            if (!boot) findings.breaches().add(name + " is not said to be of the boot loader");
            return super.resolveClass(desc);
        }
        findings.foreign().add(name);
        throw new Foreign(name);
    }

    @Override
    protected Class<?> resolveProxyClass(String[] interfaces) throws IOException, ClassNotFoundException {
        boot(interfaces[0]);
        findings.foreign().add(interfaces[0]);
        throw new Foreign(interfaces[0]);
    }
}

package pilotfish.reader;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;

/** Reads a command: classes of the JDK and the library, without annotations. */
final class OuterReader extends ObjectInputStream {
    private final Findings findings;

    OuterReader(byte[] bytes, Findings findings) throws IOException {
        super(new ByteArrayInputStream(bytes));
        this.findings = findings;
    }

    @Override
    protected Class<?> resolveClass(ObjectStreamClass desc) throws IOException, ClassNotFoundException {
        if (available() > 0) findings.breaches().add("an annotation on " + desc.getName() + " in an outer command");
        return desc.getName().startsWith("hudson.remoting.") ? findings.protocolClass(desc) : super.resolveClass(desc);
    }

    @Override
    protected Class<?> resolveProxyClass(String[] interfaces) throws ClassNotFoundException {
        throw new ClassNotFoundException("a proxy in an outer command: " + String.join(", ", interfaces));
    }
}

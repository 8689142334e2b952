package hudson.remoting;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InvalidClassException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.ObjectStreamClass;
import java.io.Serializable;
import java.util.Base64;

/** What a peer can do, exchanged as base64 in a header (remoting-transport 5.2). */
public final class Capability implements Serializable {
    private static final long serialVersionUID = 1;

    /** Every bit of a current peer. */
    public static final long CURRENT = 0x1FE;

    private final long mask;

    public Capability(long mask) {
        this.mask = mask;
    }

    public long mask() {
        return mask;
    }

    public String encode() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(this);
        }
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    /** Reads a header; only this class may occur in it. */
    public static Capability decode(String base64) throws IOException {
        byte[] bytes;
        try {
            bytes = Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException e) {
            throw new IOException("capability is not base64: " + e.getMessage(), e);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes)) {
            @Override
            protected Class<?> resolveClass(ObjectStreamClass desc) throws IOException {
                if (desc.getName().equals(Capability.class.getName())) return Capability.class;
                throw new InvalidClassException(desc.getName(), "not allowed in a capability");
            }
        }) {
            return (Capability) in.readObject();
        } catch (ClassNotFoundException | RuntimeException e) {
            throw new IOException("capability cannot be read: " + e, e);
        }
    }
}

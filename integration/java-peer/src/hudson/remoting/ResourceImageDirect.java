package hudson.remoting;

/** The bytes themselves. */
public final class ResourceImageDirect extends ResourceImageRef {
    private static final long serialVersionUID = 1;

    private final byte[] payload;

    ResourceImageDirect(byte[] payload) {
        this.payload = payload;
    }

    byte[] payload() {
        return payload;
    }
}

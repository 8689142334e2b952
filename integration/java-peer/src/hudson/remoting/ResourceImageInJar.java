package hudson.remoting;

/** An entry of a jar, which is named by its checksum and is to be had from the {@link JarLoader}. */
public final class ResourceImageInJar extends ResourceImageRef {
    private static final long serialVersionUID = 1;

    private final long sum1;
    private final long sum2;
    private final String path;

    ResourceImageInJar(long sum1, long sum2, String path) {
        this.sum1 = sum1;
        this.sum2 = sum2;
        this.path = path;
    }
}

package hudson.remoting;

import java.io.FileDescriptor;
import java.io.FileOutputStream;

/** Standard output under its own class, as callables look for it on a channel. */
public final class StandardOutputStream extends FileOutputStream {
    StandardOutputStream() {
        super(FileDescriptor.out);
    }
}

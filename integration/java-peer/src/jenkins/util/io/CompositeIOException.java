package jenkins.util.io;

import java.io.IOException;
import java.util.List;

/** What deletions fail with, of the name, serialVersionUID and field of the core's. */
public class CompositeIOException extends IOException {
    private static final long serialVersionUID = 121943141387608148L;

    private final List<IOException> exceptions;

    public CompositeIOException(String message, List<IOException> exceptions) {
        super(message);
        this.exceptions = exceptions;
        exceptions.forEach(this::addSuppressed);
    }

    public List<IOException> getExceptions() {
        return exceptions;
    }
}

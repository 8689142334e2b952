package hudson.remoting;

import java.io.IOException;

/** Stands for an exception whose class the other side may not have. */
public final class ProxyException extends IOException {
    /** Implicit in the original class (agent-callables 6). */
    private static final long serialVersionUID = 1332793125360580541L;

    public ProxyException(Throwable original) {
        super(original.toString());
        setStackTrace(original.getStackTrace());
        if (original.getCause() != null) initCause(new ProxyException(original.getCause()));
    }
}

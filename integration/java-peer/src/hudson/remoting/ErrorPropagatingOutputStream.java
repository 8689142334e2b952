package hudson.remoting;

/** A stream whose reader can be told that the writer failed. */
public interface ErrorPropagatingOutputStream {
    void error(Throwable cause);
}

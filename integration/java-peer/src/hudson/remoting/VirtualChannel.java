package hudson.remoting;

/** The channel as file callables see it. */
public interface VirtualChannel {
    /** Makes a local object callable by the other side; the result is what travels. */
    <T> T export(Class<T> type, T instance);
}

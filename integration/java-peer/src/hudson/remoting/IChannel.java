package hudson.remoting;

/** Exported by both sides as oid 1 (remoting-channel 5.1). */
public interface IChannel {
    Object getProperty(Object key);

    Object waitForProperty(Object key) throws InterruptedException;
}

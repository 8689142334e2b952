package hudson.remoting;

import java.io.IOException;

/** The class loaders that the user streams of a side name, and what received names stand for (remoting-channel 1.6). */
interface Loaders {
    /** A loader as it stands in a stream; the oid is of the writer's or of the reader's table, as the tag says. */
    record Name(int tag, int oid) {}

    /** What stands for the loader of a class that is not the JDK's own; equal for all classes of one loader. */
    Object loaderOf(Class<?> type);

    /** The name of what {@link #loaderOf} answered. A loader of this side gets one reference more. */
    Name name(Channel channel, Object loader);

    /** The loader that goes with a request. */
    RemoteClassLoader.IClassLoader ofCallable(Channel channel, Object callable);

    /** The context loader for a request that came with this one. */
    ClassLoader context(Channel channel, RemoteClassLoader.IClassLoader loader);

    Class<?> load(Channel channel, String className, Name loader) throws IOException, ClassNotFoundException;

    /** Where a proxy class of this loader's interfaces is made. */
    ClassLoader proxies(Channel channel, Name loader);
}

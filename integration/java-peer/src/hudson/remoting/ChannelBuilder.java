package hudson.remoting;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;

/** Opens a channel on a pair of streams, with the greeting of a process's standard ones (remoting-transport 5.2). */
public final class ChannelBuilder {
    private final String name;
    private final ExecutorService executors;
    private final Map<Object, Object> properties = new HashMap<>();

    public ChannelBuilder(String name, ExecutorService executors) {
        this.name = name;
        this.executors = executors;
    }

    public ChannelBuilder withJarCache(JarCache cache) {
        properties.put(JarCache.class, cache);
        return this;
    }

    public ChannelBuilder withMode(Channel.Mode mode) {
        return this;
    }

    public ChannelBuilder withProperty(Object key, Object value) {
        properties.put(key, value);
        return this;
    }

    /** Greets, waits for the other side's greeting, and starts to read. */
    public Channel build(InputStream input, OutputStream output) throws IOException {
        StdioTransport transport = new StdioTransport(new BufferedInputStream(input, 1 << 16), output);
        transport.greet();
        return begin(new Channel(name, transport, executors, false, new ImportedLoaders()), transport);
    }

    /** The same for the controller of a process that is an agent on its standard streams. */
    public Channel buildController(InputStream input, OutputStream output) throws IOException {
        StdioTransport transport = new StdioTransport(new BufferedInputStream(input, 1 << 16), output);
        transport.greet();
        return begin(new Channel(name, transport, executors, true), transport);
    }

    private Channel begin(Channel channel, StdioTransport transport) {
        properties.forEach(channel::setProperty);
        Thread reader = new Thread(() -> transport.read(channel), "reader of " + name);
        reader.setDaemon(true);
        reader.start();
        return channel;
    }
}

package hudson.remoting;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.util.HashMap;
import java.util.Map;

/** Writes a user stream: every class is annotated with its loader (remoting-channel 1.6). */
final class UserOutput extends ObjectOutputStream {
    static final int BOOT = -3;
    static final int OF_WRITER = -2;
    static final int OF_READER = -1;

    private final Channel channel;
    private final Map<Object, Integer> mentioned = new HashMap<>();

    private UserOutput(Channel channel, ByteArrayOutputStream bytes) throws IOException {
        super(bytes);
        this.channel = channel;
    }

    static byte[] serialize(Channel channel, Object object) throws IOException {
        Channel before = Channel.enter(channel);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (UserOutput out = new UserOutput(channel, bytes)) {
            out.writeObject(object);
        } finally {
            Channel.enter(before);
        }
        return bytes.toByteArray();
    }

    @Override
    protected void annotateClass(Class<?> type) throws IOException {
        if (type.getClassLoader() == null) writeInt(BOOT);
        else annotate(type);
    }

    @Override
    protected void annotateProxyClass(Class<?> type) throws IOException {
        annotate(type.getInterfaces()[0]);
    }

    private void annotate(Class<?> type) throws IOException {
        Object loader = channel.loaders().loaderOf(type);
        Integer known = mentioned.get(loader);
        if (known != null) {
            writeInt(known);
            return;
        }
        mentioned.put(loader, mentioned.size());
        Loaders.Name name = channel.loaders().name(channel, loader);
        writeInt(name.tag());
        writeInt(name.oid());
    }
}

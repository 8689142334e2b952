package hudson.remoting;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.util.EnumMap;
import java.util.Map;

/** Writes a user stream: every class is annotated with its loader (remoting-channel 1.6). */
final class UserOutput extends ObjectOutputStream {
    static final int BOOT = -3;
    static final int OF_WRITER = -2;
    static final int OF_READER = -1;

    private final Channel channel;
    private final Map<LoaderSpace, Integer> mentioned = new EnumMap<>(LoaderSpace.class);

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
        else annotate(LoaderSpace.of(type.getName()));
    }

    @Override
    protected void annotateProxyClass(Class<?> type) throws IOException {
        annotate(LoaderSpace.of(type.getInterfaces()[0].getName()));
    }

    private void annotate(LoaderSpace space) throws IOException {
        Integer known = mentioned.get(space);
        if (known != null) {
            writeInt(known);
            return;
        }
        mentioned.put(space, mentioned.size());
        writeInt(channel.isControllerSide() ? OF_WRITER : OF_READER);
        writeInt(channel.isControllerSide() ? channel.exportLoader(space) : channel.remoteLoader(space));
    }
}

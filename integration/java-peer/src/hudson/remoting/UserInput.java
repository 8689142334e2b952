package hudson.remoting;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;
import java.io.StreamCorruptedException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;

/** Reads a user stream with its loader annotations (remoting-channel 1.6). */
final class UserInput extends ObjectInputStream {
    private static final Loaders.Name BOOT = new Loaders.Name(UserOutput.BOOT, 0);

    private final Channel channel;
    private final List<Loaders.Name> mentioned = new ArrayList<>();

    private UserInput(Channel channel, byte[] bytes) throws IOException {
        super(new ByteArrayInputStream(bytes));
        this.channel = channel;
    }

    static Object deserialize(Channel channel, byte[] bytes) throws IOException, ClassNotFoundException {
        Channel before = Channel.enter(channel);
        try (UserInput in = new UserInput(channel, bytes)) {
            Object object = in.readObject();
            if (in.read() >= 0 || in.available() > 0) channel.complain("bytes after the object of a user stream");
            return object;
        } finally {
            Channel.enter(before);
        }
    }

    private Loaders.Name readLoader() throws IOException {
        int tag = readInt();
        if (tag == UserOutput.BOOT) return BOOT;
        if (tag >= 0) {
            if (tag >= mentioned.size()) throw new StreamCorruptedException("loader " + tag + " of " + mentioned.size() + " mentioned");
            return mentioned.get(tag);
        }
        if (tag != UserOutput.OF_WRITER && tag != UserOutput.OF_READER) throw new StreamCorruptedException("loader tag " + tag);
        Loaders.Name loader = new Loaders.Name(tag, readInt());
        mentioned.add(loader);
        return loader;
    }

    @Override
    protected Class<?> resolveClass(ObjectStreamClass desc) throws IOException, ClassNotFoundException {
        return channel.loaders().load(channel, desc.getName(), readLoader());
    }

    @Override
    protected Class<?> resolveProxyClass(String[] interfaces) throws IOException, ClassNotFoundException {
        Loaders.Name loader = readLoader();
        Class<?>[] types = new Class<?>[interfaces.length];
        for (int i = 0; i < types.length; i++) types[i] = channel.loaders().load(channel, interfaces[i], loader);
        return proxyClass(channel.loaders().proxies(channel, loader), types);
    }

    @SuppressWarnings("deprecation")
    private static Class<?> proxyClass(ClassLoader loader, Class<?>[] types) {
        return Proxy.getProxyClass(loader, types);
    }

    static Class<?> load(String name) throws ClassNotFoundException {
        return load(name, Channel.class.getClassLoader());
    }

    static Class<?> load(String name, ClassLoader loader) throws ClassNotFoundException {
        switch (name) {
            case "boolean": return boolean.class;
            case "byte": return byte.class;
            case "char": return char.class;
            case "short": return short.class;
            case "int": return int.class;
            case "long": return long.class;
            case "float": return float.class;
            case "double": return double.class;
            case "void": return void.class;
            default: return Class.forName(name, false, loader);
        }
    }
}

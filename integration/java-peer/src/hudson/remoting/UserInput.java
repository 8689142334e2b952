package hudson.remoting;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;
import java.io.StreamCorruptedException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;

/** Reads a user stream and judges its loader annotations (remoting-channel 1.6). */
final class UserInput extends ObjectInputStream {
    /** A mentioned loader: ours by space, or the other side's by oid. */
    private record Loader(LoaderSpace own, int oid) {}

    private static final Loader BOOT = new Loader(null, 0);

    private final Channel channel;
    private final List<Loader> mentioned = new ArrayList<>();

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

    private Loader readLoader() throws IOException {
        int tag = readInt();
        if (tag == UserOutput.BOOT) return BOOT;
        if (tag >= 0) {
            if (tag >= mentioned.size()) throw new StreamCorruptedException("loader " + tag + " of " + mentioned.size() + " mentioned");
            return mentioned.get(tag);
        }
        int oid = readInt();
        Loader loader;
        if (tag == UserOutput.OF_WRITER) {
            loader = new Loader(null, oid);
        } else if (tag == UserOutput.OF_READER) {
            try {
                loader = new Loader(((ClassLoaderProxy) channel.exports().get(oid)).space(), oid);
            } catch (ExecutionException | ClassCastException e) {
                throw new IOException("loader tag -1 with oid " + oid + ": " + e.getMessage(), e);
            }
        } else {
            throw new StreamCorruptedException("loader tag " + tag);
        }
        mentioned.add(loader);
        return loader;
    }

    @Override
    protected Class<?> resolveClass(ObjectStreamClass desc) throws IOException, ClassNotFoundException {
        return resolve(desc.getName(), readLoader());
    }

    @Override
    protected Class<?> resolveProxyClass(String[] interfaces) throws IOException, ClassNotFoundException {
        Loader loader = readLoader();
        Class<?>[] types = new Class<?>[interfaces.length];
        for (int i = 0; i < types.length; i++) types[i] = resolve(interfaces[i], loader);
        return proxyClass(types);
    }

    @SuppressWarnings("deprecation")
    private static Class<?> proxyClass(Class<?>[] types) {
        return Proxy.getProxyClass(Channel.class.getClassLoader(), types);
    }

    private Class<?> resolve(String name, Loader loader) throws ClassNotFoundException {
        Class<?> type = load(name);
        if (LoaderSpace.isJdk(type)) return type;
        LoaderSpace home = LoaderSpace.of(name);
        if (loader == BOOT) throw new ClassNotFoundException(name + " is annotated with the boot loader");
        if (loader.own != null && !loader.own.sees(home)) {
            throw new ClassNotFoundException(name + " is not visible in " + loader.own.title() + " (oid " + loader.oid + ")");
        }
        if (loader.own == null && !channel.isControllerSide()) channel.rememberRemoteLoader(home, loader.oid);
        return type;
    }

    static Class<?> load(String name) throws ClassNotFoundException {
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
            default: return Class.forName(name, false, Channel.class.getClassLoader());
        }
    }
}

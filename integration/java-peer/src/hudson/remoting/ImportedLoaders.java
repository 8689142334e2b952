package hudson.remoting;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;

/** The loaders of an agent that has nothing but this library: every other class comes from the controller (remoting-channel 5.2). */
final class ImportedLoaders implements Loaders {
    private static final ClassLoader LIBRARY = Channel.class.getClassLoader();

    private final Own own = new Own();
    private final Map<Integer, Imported> imported = new HashMap<>();

    private synchronized Imported of(Channel channel, int oid) {
        return imported.computeIfAbsent(oid, key -> new Imported(channel, key));
    }

    @Override
    public Object loaderOf(Class<?> type) {
        return type.getClassLoader() instanceof Imported loader ? loader : own;
    }

    @Override
    public Name name(Channel channel, Object loader) {
        if (loader instanceof Imported remote) return new Name(UserOutput.OF_READER, remote.oid);
        return new Name(UserOutput.OF_WRITER, channel.exports().export(RemoteClassLoader.IClassLoader.class, own));
    }

    @Override
    public RemoteClassLoader.IClassLoader ofCallable(Channel channel, Object callable) {
        Class<?> type = callable.getClass();
        if (type.getClassLoader() instanceof Imported remote) return new RemoteClassLoader.RemoteIClassLoader(remote.oid);
        int oid = channel.exports().export(RemoteClassLoader.IClassLoader.class, own);
        return (RemoteClassLoader.IClassLoader) RemoteInvocationHandler.outgoing(RemoteClassLoader.IClassLoader.class, oid, false, false);
    }

    @Override
    public ClassLoader context(Channel channel, RemoteClassLoader.IClassLoader loader) {
        return Proxy.isProxyClass(loader.getClass()) ? of(channel, RemoteInvocationHandler.oidOf(loader)) : LIBRARY;
    }

    @Override
    public Class<?> load(Channel channel, String className, Name loader) throws ClassNotFoundException {
        return UserInput.load(className, proxies(channel, loader));
    }

    @Override
    public ClassLoader proxies(Channel channel, Name loader) {
        return loader.tag() == UserOutput.OF_WRITER ? of(channel, loader.oid()) : LIBRARY;
    }

    /** A loader of the controller: this library first, then what the controller sends. */
    final class Imported extends ClassLoader {
        static {
            registerAsParallelCapable();
        }

        private final Channel channel;
        private final int oid;
        private final RemoteClassLoader.IClassLoader remote;

        Imported(Channel channel, int oid) {
            super("controller-" + oid, LIBRARY);
            this.channel = channel;
            this.oid = oid;
            remote = RemoteInvocationHandler.remoteLoader(channel, oid);
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            RemoteClassLoader.ClassFile2 file = fetch(name);
            if (file == null) throw new ClassNotFoundException(name + " in oid " + oid);
            if (!(file.image() instanceof ResourceImageDirect image)) throw new ClassNotFoundException(name + " is in a jar");
            return of(channel, file.classLoader()).define(name, image.payload());
        }

        /** Whoever cancels a request must not break a class for all that come later. */
        private RemoteClassLoader.ClassFile2 fetch(String name) throws ClassNotFoundException {
            boolean interrupted = Thread.interrupted();
            try {
                return remote.fetch3(name).get(name);
            } finally {
                if (interrupted) Thread.currentThread().interrupt();
            }
        }

        private Class<?> define(String name, byte[] image) {
            synchronized (getClassLoadingLock(name)) {
                Class<?> known = findLoadedClass(name);
                return known != null ? known : defineClass(name, image, 0, image.length);
            }
        }
    }

    /** What the controller is told of the library's own loader. It loads nothing from agents. */
    private static final class Own implements RemoteClassLoader.IClassLoader {
        @Override
        public byte[] fetch(String className) throws ClassNotFoundException {
            throw new ClassNotFoundException(className);
        }

        @Override
        public RemoteClassLoader.ClassFile fetch2(String className) throws ClassNotFoundException {
            throw new ClassNotFoundException(className);
        }

        @Override
        public HashMap<String, RemoteClassLoader.ClassFile2> fetch3(String className) throws ClassNotFoundException {
            throw new ClassNotFoundException(className);
        }

        @Override
        public byte[] getResource(String name) {
            return null;
        }

        @Override
        public RemoteClassLoader.ResourceFile getResource2(String name) {
            return null;
        }

        @Override
        public byte[][] getResources(String name) {
            return new byte[0][];
        }

        @Override
        public RemoteClassLoader.ResourceFile[] getResources2(String name) {
            return new RemoteClassLoader.ResourceFile[0];
        }

        @Override
        public String getName() throws IOException {
            return "library of the agent";
        }
    }
}

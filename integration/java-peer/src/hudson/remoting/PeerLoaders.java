package hudson.remoting;

import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;

/** The loaders of a side that has all classes itself: those of the peer's own controller, and judges of what is said about them. */
final class PeerLoaders implements Loaders {
    private final Set<Integer> met = ConcurrentHashMap.newKeySet();

    @Override
    public Object loaderOf(Class<?> type) {
        return LoaderSpace.of(type.getName());
    }

    @Override
    public Name name(Channel channel, Object loader) {
        LoaderSpace space = (LoaderSpace) loader;
        return channel.isControllerSide()
                ? new Name(UserOutput.OF_WRITER, channel.exportLoader(space))
                : new Name(UserOutput.OF_READER, channel.remoteLoader(space));
    }

    @Override
    public RemoteClassLoader.IClassLoader ofCallable(Channel channel, Object callable) {
        LoaderSpace space = LoaderSpace.ofCallable(callable);
        if (!channel.isControllerSide()) return new RemoteClassLoader.RemoteIClassLoader(channel.remoteLoader(space));
        int oid = channel.exportLoader(space);
        return (RemoteClassLoader.IClassLoader) RemoteInvocationHandler.outgoing(RemoteClassLoader.IClassLoader.class, oid, false, false);
    }

    @Override
    public ClassLoader context(Channel channel, RemoteClassLoader.IClassLoader loader) {
        return Channel.class.getClassLoader();
    }

    @Override
    public Class<?> load(Channel channel, String className, Name loader) throws IOException, ClassNotFoundException {
        LoaderSpace own = loader.tag() == UserOutput.OF_READER ? own(channel, loader.oid()) : null;
        if (loader.tag() == UserOutput.OF_WRITER && channel.isControllerSide()) meet(channel, loader.oid());
        Class<?> type = UserInput.load(className);
        if (LoaderSpace.isJdk(type)) return type;
        LoaderSpace home = LoaderSpace.of(className);
        if (loader.tag() == UserOutput.BOOT) throw new ClassNotFoundException(className + " is annotated with the boot loader");
        if (own != null && !own.sees(home)) {
            throw new ClassNotFoundException(className + " is not visible in " + own.title() + " (oid " + loader.oid() + ")");
        }
        if (own == null && !channel.isControllerSide()) channel.rememberRemoteLoader(home, loader.oid());
        return type;
    }

    private static LoaderSpace own(Channel channel, int oid) throws IOException {
        try {
            return ((ClassLoaderProxy) channel.exports().get(oid)).space();
        } catch (ExecutionException | ClassCastException e) {
            throw new IOException("loader tag -1 with oid " + oid + ": " + e.getMessage(), e);
        }
    }

    /** A controller asks a loader that it has not seen before for its name, while it reads the stream. */
    private void meet(Channel channel, int oid) {
        if (!met.add(oid)) return;
        try {
            RemoteInvocationHandler.remoteLoader(channel, oid).getName();
        } catch (IOException e) {
            // A name is for its log only.
        }
    }

    @Override
    public ClassLoader proxies(Channel channel, Name loader) {
        return Channel.class.getClassLoader();
    }
}

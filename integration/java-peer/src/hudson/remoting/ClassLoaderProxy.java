package hudson.remoting;

import java.io.IOException;
import java.io.InputStream;
import java.util.HashMap;

/** The exported side of a loader: hands out classes of this peer to agents that run Java (remoting-channel 5.2). */
final class ClassLoaderProxy implements RemoteClassLoader.IClassLoader {
    private final LoaderSpace space;

    ClassLoaderProxy(LoaderSpace space) {
        this.space = space;
    }

    LoaderSpace space() {
        return space;
    }

    @Override
    public String getName() {
        return space.title();
    }

    @Override
    public byte[] fetch(String className) throws ClassNotFoundException {
        LoaderSpace home = LoaderSpace.of(className);
        try (InputStream in = Channel.class.getClassLoader().getResourceAsStream(className.replace('.', '/') + ".class")) {
            if (in == null || !space.sees(home)) throw new ClassNotFoundException(className);
            return in.readAllBytes();
        } catch (IOException e) {
            throw new ClassNotFoundException(className, e);
        }
    }

    @Override
    public RemoteClassLoader.ClassFile fetch2(String className) throws ClassNotFoundException {
        return new RemoteClassLoader.ClassFile(homeOid(className), fetch(className));
    }

    @Override
    public HashMap<String, RemoteClassLoader.ClassFile2> fetch3(String className) throws ClassNotFoundException {
        byte[] image = fetch(className);
        ResourceImageRef reference = JarLoader.Library.holds(className)
                ? JarLoader.Library.image(className)
                : new ResourceImageDirect(image);
        HashMap<String, RemoteClassLoader.ClassFile2> all = new HashMap<>();
        all.put(className, new RemoteClassLoader.ClassFile2(homeOid(className), reference));
        return all;
    }

    private static int homeOid(String className) {
        return Channel.current().exportLoader(LoaderSpace.of(className));
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
    public String toString() {
        return "class loader of " + space.title();
    }
}

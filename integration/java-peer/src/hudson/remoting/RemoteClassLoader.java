package hudson.remoting;

import java.io.IOException;
import java.io.ObjectStreamException;
import java.io.Serializable;
import java.util.HashMap;
import java.util.concurrent.ExecutionException;

/** Home of the class loading types (remoting-channel 5.2); nothing is loaded from agents here. */
public final class RemoteClassLoader {
    private RemoteClassLoader() {}

    /** A loader of the other side. Exported without a user proxy: its requests and answers stand in the outer stream. */
    public interface IClassLoader {
        byte[] fetch(String className) throws ClassNotFoundException;

        ClassFile fetch2(String className) throws ClassNotFoundException;

        HashMap<String, ClassFile2> fetch3(String className) throws ClassNotFoundException;

        byte[] getResource(String name) throws IOException;

        ResourceFile getResource2(String name) throws IOException;

        byte[][] getResources(String name) throws IOException;

        ResourceFile[] getResources2(String name) throws IOException;

        String getName() throws IOException;
    }

    /** Names a loader that lives with the reader. */
    public static final class RemoteIClassLoader implements IClassLoader, Serializable {
        private static final long serialVersionUID = 1;

        private final int oid;

        RemoteIClassLoader(int oid) {
            this.oid = oid;
        }

        private Object readResolve() throws ObjectStreamException {
            try {
                return (IClassLoader) Channel.current().exports().get(oid);
            } catch (ExecutionException | ClassCastException e) {
                throw new java.io.InvalidObjectException("RemoteIClassLoader(" + oid + "): " + e.getMessage());
            }
        }

        private static UnsupportedOperationException home() {
            return new UnsupportedOperationException("this loader lives on the other side");
        }

        @Override
        public byte[] fetch(String className) {
            throw home();
        }

        @Override
        public ClassFile fetch2(String className) {
            throw home();
        }

        @Override
        public HashMap<String, ClassFile2> fetch3(String className) {
            throw home();
        }

        @Override
        public byte[] getResource(String name) {
            throw home();
        }

        @Override
        public ResourceFile getResource2(String name) {
            throw home();
        }

        @Override
        public byte[][] getResources(String name) {
            throw home();
        }

        @Override
        public ResourceFile[] getResources2(String name) {
            throw home();
        }

        @Override
        public String getName() {
            throw home();
        }
    }

    /** A class with the oid of its defining loader. */
    public static final class ClassFile implements Serializable {
        private static final long serialVersionUID = 1;
        private final int classLoader;
        private final byte[] classImage;

        ClassFile(int classLoader, byte[] classImage) {
            this.classLoader = classLoader;
            this.classImage = classImage;
        }
    }

    /** A resource's image. */
    public static class ResourceFile implements Serializable {
        private static final long serialVersionUID = 1;
        private final ResourceImageRef image;

        ResourceFile(ResourceImageRef image) {
            this.image = image;
        }

        ResourceImageRef image() {
            return image;
        }
    }

    /** A class as fetch3 returns it. */
    public static final class ClassFile2 extends ResourceFile {
        private static final long serialVersionUID = 1;
        private final int classLoader;
        private final ClassFile2 referer;

        ClassFile2(int classLoader, ResourceImageRef image) {
            super(image);
            this.classLoader = classLoader;
            this.referer = null;
        }

        /** Oid of the loader that is to define the class. */
        int classLoader() {
            return classLoader;
        }
    }
}

package oracle;

import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;
import java.net.URI;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.*;
import oracle.Shapes.*;

/** Reads the streams that the encoder wrote into a folder, and fails where one is not as expected. */
public final class ReadBack {
    private static final List<String> annotations = new ArrayList<>();

    private interface Expect {
        boolean holds(Object value) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        Map<String, Expect> expected = new TreeMap<>();
        values(expected);
        objects(expected);
        collections(expected);
        throwables(expected);
        Set<String> seen = new TreeSet<>();
        List<String> failures = new ArrayList<>();
        try (var files = Files.list(Path.of(args[0]))) {
            for (Path file : (Iterable<Path>) files.sorted()::iterator) {
                String name = file.getFileName().toString().replace(".ser", "");
                seen.add(name);
                try {
                    annotations.clear();
                    Object value = read(Files.readAllBytes(file));
                    if (!expected.get(name).holds(value)) {
                        failures.add(name + ": got " + value);
                    }
                } catch (Exception | StackOverflowError e) {
                    failures.add(name + ": " + e);
                }
            }
        }
        if (!seen.equals(expected.keySet())) {
            failures.add("expected the streams " + expected.keySet() + ", got " + seen);
        }
        for (String failure : failures) {
            System.out.println(failure);
        }
        System.out.println(seen.size() + " streams read, " + failures.size() + " failures");
        System.exit(failures.isEmpty() ? 0 : 1);
    }

    private static Object read(byte[] bytes) throws Exception {
        try (ObjectInputStream in = new Resolving(new ByteArrayInputStream(bytes))) {
            Object value = in.readObject();
            if (in.read() != -1) {
                throw new IOException("more follows the value");
            }
            return value;
        }
    }

    /** Reads the annotation that the encoder wrote for classes of this package. */
    private static final class Resolving extends ObjectInputStream {
        Resolving(InputStream in) throws IOException {
            super(in);
        }

        @Override
        protected Class<?> resolveClass(ObjectStreamClass descriptor) throws IOException, ClassNotFoundException {
            if (available() > 0) {
                annotations.add(readUTF() + "=" + descriptor.getName());
            }
            return super.resolveClass(descriptor);
        }

        @Override
        protected Class<?> resolveProxyClass(String[] interfaces) throws IOException, ClassNotFoundException {
            if (available() > 0) {
                annotations.add(readUTF() + "=proxy");
            }
            return super.resolveProxyClass(interfaces);
        }
    }

    private static Expect same(Object wanted) {
        return value -> Objects.deepEquals(wanted, value) && (wanted == null || wanted.getClass() == value.getClass());
    }

    private static void values(Map<String, Expect> expected) {
        expected.put("null", same(null));
        expected.put("text", same("text"));
        expected.put("text-odd", same("a\0\u00E9\u20AC\uD83D\uDE00"));
        expected.put("text-65535", same("x".repeat(65_535)));
        expected.put("text-65536", same("y".repeat(65_536)));
        expected.put("bytes", same(new byte[] {0, -1, 127}));
        expected.put("chars", same(new char[] {'a', '\uD800'}));
        expected.put("ints", same(new int[] {Integer.MIN_VALUE, 0, 9}));
        expected.put("longs", same(new long[] {Long.MAX_VALUE, -1}));
        expected.put("texts", same(new String[] {"one", null, "one"}));
        expected.put("nested", same(new Object[] {new Object[] {new int[] {1}}, "x"}));
        expected.put("boolean", same(true));
        expected.put("integer", same(-5));
        expected.put("long", same(1L << 40));
    }

    private static void objects(Map<String, Expect> expected) {
        expected.put("primitives-largest", same(Primitives.largest()));
        expected.put("primitives-zero", same(new Primitives(false, (byte) 0, '\0', (short) 0, 0, 0, 0, 0, null)));
        expected.put("enums", value -> {
            Object[] items = (Object[]) value;
            return items[0] == Plain.TWO && items[1] == WithBodies.ADD && items[2] == Plain.TWO && items.length == 3;
        });
        expected.put("classes", same(new Object[] {Plain.class, Leaf.class, Leaf.class, String[].class}));
        expected.put("record", same(new Pair("left", 2, new Pair("inner", 3, null))));
        expected.put("proxy", value -> ((Speaker) value).speak("hello").equals("echo hello")
                && !(value instanceof Comparable));
        expected.put("proxies", value -> {
            Object[] items = (Object[]) value;
            return items[0].getClass() == items[1].getClass() && ((Speaker) items[2]).speak("x").equals("cx")
                    && items[2] instanceof Comparable;
        });
        expected.put("sized", value -> {
            Sized sized = (Sized) value;
            byte[] block = new byte[700];
            Arrays.fill(block, (byte) 3);
            return sized.text.equals("tail") && Arrays.equals(sized.block, block);
        });
        expected.put("own-primitive", value -> {
            OwnPrimitive own = (OwnPrimitive) value;
            return own.label.equals("mine") && own.count == 77;
        });
        expected.put("inheritance", value -> {
            Leaf leaf = (Leaf) value;
            return leaf.rootField == 8 && leaf.shadowed.equals("both") && ((Root) leaf).shadowed.equals("both")
                    && leaf.self == null;
        });
        expected.put("annotated", value -> {
            Object[] items = (Object[]) value;
            return items.length == 3 && items[0] instanceof Leaf && ((Speaker) items[1]).speak("x").equals("ax")
                    && annotations.equals(List.of("oracle.Shapes$Leaf=oracle.Shapes$Leaf",
                            "oracle.Shapes$Middle=oracle.Shapes$Middle", "oracle.Shapes$Root=oracle.Shapes$Root",
                            "oracle.Shapes$Speaker=proxy", "oracle.Shapes$Echo=oracle.Shapes$Echo"));
        });
        expected.put("uri", same(URI.create("https://example.org/a?b#c")));
    }

    private static void collections(Map<String, Expect> expected) {
        for (int size : new int[] {0, 1, 12, 13, 100, 1000}) {
            List<Integer> list = new ArrayList<>();
            Map<String, Integer> map = new HashMap<>();
            for (int i = 0; i < size; i++) {
                list.add(i);
                map.put(Integer.toString(i), i);
            }
            expected.put("array-list-" + size, same(list));
            expected.put("hash-set-" + size, same(new HashSet<>(list)));
            expected.put("hash-map-" + size, same(map));
            expected.put("tree-map-" + size, same(new TreeMap<>(map)));
        }
        expected.put("tree-map-caseless", value -> {
            TreeMap<?, ?> map = (TreeMap<?, ?>) value;
            return map.comparator() == String.CASE_INSENSITIVE_ORDER && map.get("KEY").equals(1);
        });
        expected.put("empty-list", value -> value == Collections.EMPTY_LIST);
    }

    private static void throwables(Map<String, Expect> expected) {
        throwable(expected, "exception", Exception.class);
        throwable(expected, "runtime", RuntimeException.class);
        throwable(expected, "illegal-state", IllegalStateException.class);
        throwable(expected, "interrupted", InterruptedException.class);
        throwable(expected, "io", IOException.class);
        throwable(expected, "file-not-found", FileNotFoundException.class);
        expected.put("throwable-no-such-file", value -> value instanceof NoSuchFileException e
                && "/a".equals(e.getFile()) && e.getOtherFile() == null && e.getMessage().equals("/a"));
        expected.put("throwable-access-denied", value -> value instanceof AccessDeniedException e
                && "/a".equals(e.getFile()) && "/b".equals(e.getOtherFile()));
        expected.put("throwable-not-empty", value -> value instanceof DirectoryNotEmptyException e && "/a".equals(e.getFile()));
        expected.put("throwable-suppressing", value -> value instanceof IOException e && e.getSuppressed().length == 1
                && e.getSuppressed()[0] instanceof NoSuchFileException);
        expected.put("throwable-cause", value -> value instanceof IllegalStateException e
                && e.getCause() instanceof IOException cause && cause.getMessage().equals("inner") && cause.getCause() == null);
    }

    private static void throwable(Map<String, Expect> expected, String name, Class<?> type) {
        expected.put("throwable-" + name, value -> {
            Throwable thrown = (Throwable) value;
            thrown.printStackTrace(new java.io.PrintStream(OutputStreamToNowhere.INSTANCE));
            boolean bare = thrown.getSuppressed().length == 0 && thrown.getStackTrace().length == 0;
            thrown.addSuppressed(new Exception("where the controller called"));
            return bare && thrown.getClass() == type && "why".equals(thrown.getMessage()) && thrown.getCause() == null
                    && thrown.getSuppressed().length == 1;
        });
    }

    private static final class OutputStreamToNowhere extends java.io.OutputStream {
        static final OutputStreamToNowhere INSTANCE = new OutputStreamToNowhere();

        @Override
        public void write(int b) {}
    }
}

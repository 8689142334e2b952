package oracle;

import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.io.ObjectStreamClass;
import java.io.ObjectStreamConstants;
import java.io.OutputStream;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.*;
import oracle.Shapes.*;

/** Writes one file for each stream of the corpus into the folder that is named. */
public final class WriteCorpus {
    private final Path folder;

    private WriteCorpus(Path folder) {
        this.folder = folder;
    }

    private interface Body {
        void write(ObjectOutputStream out) throws IOException;
    }

    public static void main(String[] args) throws Exception {
        WriteCorpus corpus = new WriteCorpus(Path.of(args[0]));
        corpus.values();
        corpus.classes();
        corpus.collections();
        corpus.streams();
        corpus.throwables();
        for (int seed = 0; seed < 200; seed++) {
            corpus.random(seed);
        }
    }

    private void stream(String name, Body body) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            body.write(out);
        }
        save(name, bytes);
    }

    private void save(String name, ByteArrayOutputStream bytes) throws IOException {
        Files.write(folder.resolve(name + ".ser"), bytes.toByteArray());
    }

    private void object(String name, Object value) throws IOException {
        stream(name, out -> out.writeObject(value));
    }

    private void values() throws IOException {
        object("null", null);
        object("primitives-largest", Primitives.largest());
        object("primitives-smallest", Primitives.smallest());
        object("primitives-nan", new Primitives(false, (byte) -1, '\uD800', (short) -1, -1, -1L,
                Float.intBitsToFloat(0x7FC0_1234), Double.longBitsToDouble(0xFFF8_0000_0000_0001L), null));
        for (Object boxed : new Object[] {true, (byte) 1, 'x', (short) 2, 3, 4L, 5.5f, 6.25}) {
            object("boxed-" + boxed.getClass().getSimpleName(), boxed);
        }
        object("text-plain", "plain");
        object("text-nul", "a\0b");
        object("text-surrogates", "\uD83D\uDE00 pair");
        object("text-unpaired", "\uDE00\uD83D");
        object("text-65535", "x".repeat(65_535));
        object("text-65536", "y".repeat(65_536));
        object("text-long", "\u20AC\0".repeat(50_000));
        AllArrays arrays = new AllArrays();
        arrays.z = new boolean[] {true, false};
        arrays.b = new byte[] {-128, 0, 127};
        arrays.c = new char[] {'a', '\uFFFF', 0};
        arrays.s = new short[] {-1, 300};
        arrays.i = new int[] {Integer.MIN_VALUE, 7};
        arrays.j = new long[] {Long.MAX_VALUE};
        arrays.f = new float[] {Float.NaN, -0.0f};
        arrays.d = new double[] {Double.NEGATIVE_INFINITY, 0.1};
        arrays.texts = new String[] {"one", null, "one"};
        arrays.nested = new int[][] {{1}, {}, null, {2, 3}};
        arrays.mixed = new Object[] {arrays, arrays.nested, Plain.ONE, new Object[0], new Plain[] {Plain.TWO}};
        object("arrays", arrays);
        object("arrays-empty", new Object[][][] {{}, {{}}, null});
        object("big-numbers", new Object[] {new BigInteger("-123456789012345678901234567890"), new BigDecimal("1.50")});
        object("dates", new Object[] {new Date(0), new UUID(1, 2), Locale.GERMANY, URI.create("http://a/b"),
            java.time.Instant.EPOCH, java.time.LocalDate.of(2020, 2, 29), new BitSet(70), Optional.class});
    }

    private void classes() throws IOException {
        object("enums", new Object[] {Plain.ONE, Plain.TWO, Plain.ONE, WithBodies.ADD, WithBodies.SUBTRACT, TimeUnit.DAYS});
        object("record", new Pair("left", 2, new Pair("inner", 3, null)));
        object("proxy", speaker("echo "));
        object("proxies", new Object[] {speaker("a"), speaker("b"), Proxy.newProxyInstance(
                WriteCorpus.class.getClassLoader(), new Class<?>[] {Comparable.class, Speaker.class}, new Echo("c"))});
        object("external", new Object[] {new External("first", 1, 2), new External("second")});
        object("both", new Both(4, "label", new byte[3000]));
        object("own-reference", new OwnReference());
        object("own-primitive", new OwnPrimitive());
        object("put-fields", new PutFields());
        object("inheritance", new Leaf());
        object("gap", new AfterGap());
        object("replaced", new Replaced());
        object("class-objects", new Object[] {int.class, String.class, int[].class, Plain.class, WithBodies.class,
            Runnable.class, Object.class, void.class, Leaf.class, speaker("x").getClass(), WithBodies.ADD.getClass()});
        object("descriptors", new Object[] {ObjectStreamClass.lookup(Leaf.class), new Leaf(),
            ObjectStreamClass.lookup(Leaf.class), ObjectStreamClass.lookup(String.class)});
        object("lambda", (Comparator<String> & java.io.Serializable) String::compareTo);
    }

    static Object speaker(String prefix) {
        return Proxy.newProxyInstance(WriteCorpus.class.getClassLoader(), new Class<?>[] {Speaker.class}, new Echo(prefix));
    }

    private void collections() throws IOException {
        List<String> texts = List.of("a", "b", "c");
        Map<String, Long> numbers = new TreeMap<>(Map.of("a", 1L, "b", 2L, "c", 3L));
        Map<String, Collection<?>> lists = new LinkedHashMap<>();
        lists.put("ArrayList", new ArrayList<>(texts));
        lists.put("LinkedList", new LinkedList<>(texts));
        lists.put("ArrayDeque", new ArrayDeque<>(texts));
        lists.put("PriorityQueue", new PriorityQueue<>(texts));
        lists.put("HashSet", new HashSet<>(texts));
        lists.put("LinkedHashSet", new LinkedHashSet<>(texts));
        lists.put("TreeSet", new TreeSet<>(texts));
        TreeSet<String> caselessSet = new TreeSet<>(String.CASE_INSENSITIVE_ORDER);
        caselessSet.addAll(texts);
        lists.put("TreeSet-comparator", caselessSet);
        lists.put("CopyOnWriteArrayList", new CopyOnWriteArrayList<>(texts));
        lists.put("CopyOnWriteArraySet", new CopyOnWriteArraySet<>(texts));
        lists.put("ConcurrentLinkedQueue", new ConcurrentLinkedQueue<>(texts));
        lists.put("ConcurrentLinkedDeque", new ConcurrentLinkedDeque<>(texts));
        lists.put("LinkedBlockingQueue", new LinkedBlockingQueue<>(texts));
        lists.put("LinkedBlockingDeque", new LinkedBlockingDeque<>(texts));
        lists.put("ConcurrentSkipListSet", new ConcurrentSkipListSet<>(texts));
        lists.put("Vector", new Vector<>(texts));
        Stack<String> stack = new Stack<>();
        stack.addAll(texts);
        lists.put("Stack", stack);
        lists.put("Arrays.asList", Arrays.asList("a", "b", "c"));
        lists.put("List.of", texts);
        lists.put("Set.of", Set.of("a", "b", "c"));
        lists.put("unmodifiableList", Collections.unmodifiableList(new ArrayList<>(texts)));
        lists.put("unmodifiableSet", Collections.unmodifiableSet(new LinkedHashSet<>(texts)));
        lists.put("unmodifiableSortedSet", Collections.unmodifiableSortedSet(new TreeSet<>(texts)));
        lists.put("unmodifiableCollection", Collections.unmodifiableCollection(new LinkedList<>(texts)));
        lists.put("synchronizedList", Collections.synchronizedList(new ArrayList<>(texts)));
        lists.put("synchronizedSet", Collections.synchronizedSet(new HashSet<>(texts)));
        lists.put("checkedList", Collections.checkedList(new ArrayList<>(texts), String.class));
        lists.put("wrapped-twice", Collections.synchronizedList(Collections.unmodifiableList(Arrays.asList("a", "b", "c"))));
        Set<String> fromMap = Collections.newSetFromMap(new LinkedHashMap<>());
        fromMap.addAll(texts);
        lists.put("newSetFromMap", fromMap);
        for (Map.Entry<String, Collection<?>> list : lists.entrySet()) {
            object("list-abc-" + list.getKey(), list.getValue());
        }
        object("list-one-singletonList", Collections.singletonList("a"));
        object("list-one-singleton", Collections.singleton("a"));
        object("list-one-List.of", List.of("a"));
        object("enum-set", EnumSet.of(Plain.ONE));
        object("list-none-emptyList", Collections.emptyList());
        object("list-none-emptySet", Collections.emptySet());
        object("list-none-List.of", List.of());
        object("list-none-ArrayList", new ArrayList<>());
        object("list-none-ConcurrentLinkedQueue", new ConcurrentLinkedQueue<>());
        object("list-none-TreeSet", new TreeSet<>());
        object("list-nulls", new ArrayList<>(Arrays.asList(null, "x", null)));

        Map<String, Map<?, ?>> maps = new LinkedHashMap<>();
        maps.put("HashMap", new HashMap<>(numbers));
        maps.put("LinkedHashMap", new LinkedHashMap<>(numbers));
        maps.put("TreeMap", new TreeMap<>(numbers));
        TreeMap<String, Long> caseless = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        caseless.putAll(numbers);
        maps.put("TreeMap-comparator", caseless);
        maps.put("Hashtable", new Hashtable<>(numbers));
        Properties properties = new Properties();
        properties.putAll(numbers);
        maps.put("Properties", properties);
        maps.put("ConcurrentHashMap", new ConcurrentHashMap<>(numbers));
        maps.put("ConcurrentSkipListMap", new ConcurrentSkipListMap<>(numbers));
        maps.put("IdentityHashMap", new IdentityHashMap<>(numbers));
        maps.put("Map.of", Map.of("a", 1L, "b", 2L, "c", 3L));
        maps.put("unmodifiableMap", Collections.unmodifiableMap(numbers));
        maps.put("unmodifiableSortedMap", Collections.unmodifiableSortedMap(new TreeMap<>(numbers)));
        maps.put("synchronizedMap", Collections.synchronizedMap(new HashMap<>(numbers)));
        maps.put("checkedMap", Collections.checkedMap(new HashMap<>(numbers), String.class, Long.class));
        for (Map.Entry<String, Map<?, ?>> map : maps.entrySet()) {
            object("map-abc-" + map.getKey(), map.getValue());
        }
        object("map-one-singletonMap", Collections.singletonMap("a", 1L));
        object("map-one-Map.of", Map.of("a", 1L));
        object("map-none-emptyMap", Collections.emptyMap());
        object("map-none-Map.of", Map.of());
        object("map-none-ConcurrentHashMap", new ConcurrentHashMap<>());
        object("enum-map", new EnumMap<>(Map.of(Plain.ONE, "first", Plain.TWO, "second")));
    }

    private void streams() throws IOException {
        stream("empty", out -> {});
        for (int length : new int[] {0, 1, 254, 255, 256, 257, 1023, 1024, 1025, 2000}) {
            stream("block-" + length, out -> out.write(new byte[length]));
        }
        stream("blocks-growing", out -> {
            for (int length = 0; length <= 2000; length += 17) {
                out.writeInt(length);
                out.write(new byte[length]);
                out.writeObject(length % 2 == 0 ? null : "mark");
            }
        });
        stream("primitives-as-block", out -> {
            out.writeBoolean(true);
            out.writeChar('c');
            out.writeDouble(1.5);
            out.writeUTF("utf\0\uD83D\uDE00");
            out.writeChars("chars");
        });
        stream("reset", out -> {
            List<Object> shared = new ArrayList<>(List.of("a", Plain.ONE));
            out.writeObject(shared);
            out.writeObject(shared);
            out.reset();
            out.writeObject(shared);
            out.reset();
            out.reset();
            out.writeInt(4);
            out.writeObject(shared);
        });
        stream("unshared", out -> {
            String text = "text";
            out.writeUnshared(text);
            out.writeObject(text);
            out.writeUnshared(new int[] {1});
        });
        stream("shared", out -> {
            Object[] twice = new Object[3];
            twice[0] = twice;
            twice[1] = twice[2] = new ArrayList<>(List.of("x"));
            out.writeObject(twice);
            out.writeObject(twice);
        });
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new Annotating(bytes)) {
            out.writeObject(new Object[] {new Leaf(), speaker("x"), Plain.ONE, new Leaf(), new External("e")});
        }
        save("annotated", bytes);
        bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.useProtocolVersion(ObjectStreamConstants.PROTOCOL_VERSION_1);
            out.writeObject(new External("old", 1));
        }
        save("protocol-1", bytes);
        aborted("aborted-before", new Object());
        aborted("aborted-inside", new Failing());
    }

    private void aborted(String name, Object bad) throws IOException {
        stream(name, out -> {
            out.writeObject("before");
            try {
                out.writeObject(bad);
                throw new IllegalStateException("it can be written after all");
            } catch (java.io.NotSerializableException expected) {
                out.writeObject("after");
            }
        });
    }

    /** Annotates each class with block data and with an object. */
    private static final class Annotating extends ObjectOutputStream {
        Annotating(OutputStream out) throws IOException {
            super(out);
        }

        @Override
        protected void annotateClass(Class<?> type) throws IOException {
            writeUTF(type.getName());
            if (type != int[].class) {
                // Not for the array's own class: a descriptor cannot be part of its own description.
                writeObject(new int[] {type.getName().length()});
            }
        }

        @Override
        protected void annotateProxyClass(Class<?> type) throws IOException {
            writeInt(type.getInterfaces().length);
        }
    }

    private void throwables() throws IOException {
        IOException cause = new FileNotFoundException("no such thing");
        RuntimeException failure = new IllegalStateException("outer", cause);
        failure.addSuppressed(new NoSuchFileException("/a", null, "why"));
        failure.addSuppressed(new Error());
        object("throwable", failure);
        object("throwable-bare", new InterruptedException());
        Exception loop = new Exception("loop");
        Exception other = new Exception("other", loop);
        loop.addSuppressed(other);
        object("throwable-loop", loop);
    }

    private void random(int seed) throws IOException {
        Random random = new Random(seed);
        List<Knot> knots = new ArrayList<>();
        for (int i = 0; i <= random.nextInt(40); i++) {
            knots.add(new Knot());
        }
        for (Knot knot : knots) {
            knot.number = random.nextInt();
            knot.value = value(random, knots, 3);
            knot.left = random.nextBoolean() ? knots.get(random.nextInt(knots.size())) : null;
            knot.right = random.nextInt(4) == 0 ? knots.get(random.nextInt(knots.size())) : null;
        }
        stream("random-" + seed, out -> {
            for (int i = 0; i <= random.nextInt(4); i++) {
                out.writeObject(knots.get(random.nextInt(knots.size())));
                if (random.nextInt(3) == 0) {
                    out.writeUTF("between");
                }
                if (random.nextInt(5) == 0) {
                    out.reset();
                }
            }
        });
    }

    private static Object value(Random random, List<Knot> knots, int depth) {
        switch (random.nextInt(depth > 0 ? 16 : 9)) {
            case 0: return null;
            case 1: return random.nextLong();
            case 2: return text(random);
            case 3: return Plain.values()[random.nextInt(2)];
            case 4: return WithBodies.values()[random.nextInt(2)];
            case 5: return knots.get(random.nextInt(knots.size()));
            case 6: return random.doubles(random.nextInt(4)).toArray();
            case 7: return new External(text(random), random.nextInt());
            case 8: return speaker(text(random));
            case 9: return new Pair(text(random), random.nextInt(), value(random, knots, depth - 1));
            case 10: return new Both(random.nextInt(), text(random), new byte[random.nextInt(600)]);
            case 11: return new Object[] {value(random, knots, depth - 1), value(random, knots, depth - 1)};
            case 12: return new Leaf();
            case 13: return new ArrayList<>(Arrays.asList(value(random, knots, depth - 1), text(random)));
            case 14: {
                Map<Object, Object> map = new LinkedHashMap<>();
                map.put(text(random), value(random, knots, depth - 1));
                map.put(random.nextInt(), value(random, knots, depth - 1));
                return map;
            }
            default: return new RuntimeException(text(random));
        }
    }

    private static String text(Random random) {
        StringBuilder text = new StringBuilder();
        for (int i = random.nextInt(12); i > 0; i--) {
            text.append((char) (random.nextInt(3) == 0 ? random.nextInt(0x10000) : random.nextInt(0x80)));
        }
        return text.toString();
    }
}

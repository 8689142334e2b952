package oracle;

import java.io.Externalizable;
import java.io.IOException;
import java.io.InvalidObjectException;
import java.io.NotSerializableException;
import java.io.ObjectInput;
import java.io.ObjectInputStream;
import java.io.ObjectOutput;
import java.io.ObjectOutputStream;
import java.io.ObjectStreamField;
import java.io.Serializable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.util.Objects;

/** The classes that both directions use. */
final class Shapes {
    private Shapes() {}

    static final class Primitives implements Serializable {
        private static final long serialVersionUID = 11L;
        boolean z;
        byte b;
        char c;
        short s;
        int i;
        long j;
        float f;
        double d;
        String text;

        Primitives(boolean z, byte b, char c, short s, int i, long j, float f, double d, String text) {
            this.z = z;
            this.b = b;
            this.c = c;
            this.s = s;
            this.i = i;
            this.j = j;
            this.f = f;
            this.d = d;
            this.text = text;
        }

        static Primitives largest() {
            return new Primitives(true, Byte.MAX_VALUE, Character.MAX_VALUE, Short.MAX_VALUE,
                    Integer.MAX_VALUE, Long.MAX_VALUE, Float.MAX_VALUE, Double.MAX_VALUE, "largest");
        }

        static Primitives smallest() {
            return new Primitives(false, Byte.MIN_VALUE, Character.MIN_VALUE, Short.MIN_VALUE,
                    Integer.MIN_VALUE, Long.MIN_VALUE, Float.MIN_VALUE, Double.MIN_VALUE, "");
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Primitives o && z == o.z && b == o.b && c == o.c && s == o.s && i == o.i
                    && j == o.j && Float.floatToRawIntBits(f) == Float.floatToRawIntBits(o.f)
                    && Double.doubleToRawLongBits(d) == Double.doubleToRawLongBits(o.d)
                    && Objects.equals(text, o.text);
        }

        @Override
        public int hashCode() {
            return Objects.hash(z, b, c, s, i, j, f, d, text);
        }
    }

    enum Plain { ONE, TWO }

    enum WithBodies {
        ADD {
            @Override
            int apply(int a, int b) {
                return a + b;
            }
        },
        SUBTRACT {
            @Override
            int apply(int a, int b) {
                return a - b;
            }
        };

        abstract int apply(int a, int b);
    }

    record Pair(String left, int right, Object more) implements Serializable {}

    interface Speaker {
        String speak(String word);
    }

    static final class Echo implements InvocationHandler, Serializable {
        private static final long serialVersionUID = 12L;
        final String prefix;

        Echo(String prefix) {
            this.prefix = prefix;
        }

        @Override
        public Object invoke(Object proxy, Method method, Object[] args) {
            return prefix + args[0];
        }
    }

    /** Writes external data in the marks of protocol 2. */
    public static final class External implements Externalizable {
        private static final long serialVersionUID = 13L;
        String name;
        int[] numbers;

        public External() {}

        External(String name, int... numbers) {
            this.name = name;
            this.numbers = numbers;
        }

        @Override
        public void writeExternal(ObjectOutput out) throws IOException {
            out.writeInt(numbers.length);
            out.writeObject(name);
            out.writeUTF(name);
            out.writeObject(numbers);
        }

        @Override
        public void readExternal(ObjectInput in) throws IOException, ClassNotFoundException {
            in.readInt();
            name = (String) in.readObject();
            in.readUTF();
            numbers = (int[]) in.readObject();
        }
    }

    /** Default fields and more. */
    static final class Both implements Serializable {
        private static final long serialVersionUID = 14L;
        int count;
        String label;
        transient byte[] tail;

        Both(int count, String label, byte[] tail) {
            this.count = count;
            this.label = label;
            this.tail = tail;
        }

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeInt(tail.length);
            out.write(tail);
            out.writeObject(label);
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            tail = new byte[in.readInt()];
            in.readFully(tail);
            if (!label.equals(in.readObject())) {
                throw new InvalidObjectException("the label differs");
            }
        }
    }

    /** No default fields, though a reference is declared first: visible in the stream. */
    static final class OwnReference implements Serializable {
        private static final long serialVersionUID = 15L;
        String label = "never written";

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.writeUTF("instead");
        }

        private void readObject(ObjectInputStream in) throws IOException {
            label = in.readUTF();
        }
    }

    /** No default fields, and a primitive declared first: not visible in the stream. */
    static final class OwnPrimitive implements Serializable {
        private static final long serialVersionUID = 16L;
        int count = 3;
        String label = "never written";

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.writeObject("instead");
            out.writeLong(-1);
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            label = (String) in.readObject();
            count = (int) in.readLong();
        }
    }

    /** Fields in the stream that the class does not have. */
    static final class PutFields implements Serializable {
        private static final long serialVersionUID = 17L;
        private static final ObjectStreamField[] serialPersistentFields = {
            new ObjectStreamField("virtual", int.class), new ObjectStreamField("names", String[].class),
        };

        private void writeObject(ObjectOutputStream out) throws IOException {
            ObjectOutputStream.PutField fields = out.putFields();
            fields.put("virtual", 99);
            fields.put("names", new String[] {"a", "b"});
            out.writeFields();
        }
    }

    static class Root implements Serializable {
        private static final long serialVersionUID = 18L;
        int rootField = 1;
        String shadowed = "root";
    }

    static class Middle extends Root {
        private static final long serialVersionUID = 19L;

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeObject("between");
        }
    }

    static final class Leaf extends Middle {
        private static final long serialVersionUID = 20L;
        String shadowed = "leaf";
        Object self = this;
    }

    /** Not serialisable, so its field is not in the stream. */
    static class Gap {
        int lost = 5;
    }

    static class AfterGap extends Gap implements Serializable {
        private static final long serialVersionUID = 21L;
        int kept = 6;
    }

    static final class Replaced implements Serializable {
        private static final long serialVersionUID = 22L;

        private Object writeReplace() {
            return new Pair("replacement", 1, null);
        }
    }

    /** Fails while its fields are being written. */
    static final class Failing implements Serializable {
        private static final long serialVersionUID = 23L;
        String before = "written";
        Object bad = "set below";

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            throw new NotSerializableException("on purpose");
        }
    }

    static class Knot implements Serializable {
        private static final long serialVersionUID = 24L;
        int number;
        Object value;
        Knot left;
        Knot right;
    }

    static final class AllArrays implements Serializable {
        private static final long serialVersionUID = 25L;
        boolean[] z;
        byte[] b;
        char[] c;
        short[] s;
        int[] i;
        long[] j;
        float[] f;
        double[] d;
        String[] texts;
        int[][] nested;
        Object[] mixed;
    }

    /** What our side writes with fields of its own data. */
    static final class Sized implements Serializable {
        private static final long serialVersionUID = 26L;
        int size;
        transient String text;
        transient byte[] block;

        private void writeObject(ObjectOutputStream out) throws IOException {
            throw new NotSerializableException("only read here");
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            block = new byte[size];
            in.readFully(block);
            text = (String) in.readObject();
            if (in.read() != -1) {
                throw new InvalidObjectException("more block data than expected");
            }
        }
    }
}

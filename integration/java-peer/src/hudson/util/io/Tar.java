package hudson.util.io;

import hudson.FileOps;
import hudson.util.DirScanner;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/** Tar as Ant writes it: ustar headers, GNU long names, star's big numbers (agent-callables 2.1). */
public final class Tar {
    private static final int BLOCK = 512;
    private static final int NAME = 100;

    private Tar() {}

    /** One entry of an archive. */
    public record Entry(String name, char type, int mode, long size, long modifiedSeconds, String link) {}

    /** Receives entries; {@code content} must be read before the method returns or is skipped. */
    public interface Visitor {
        void entry(Entry entry, InputStream content) throws IOException;
    }

    /** Writes the scanned files; answers the number of entries. */
    public static int write(Path base, DirScanner scanner, OutputStream out) throws IOException {
        Map<String, Path> files = scanner.scan(base);
        for (Map.Entry<String, Path> file : files.entrySet()) {
            Path path = file.getValue();
            boolean link = Files.isSymbolicLink(path);
            String target = link ? Files.readSymbolicLink(path).toString() : "";
            long modified = Files.getLastModifiedTime(path, LinkOption.NOFOLLOW_LINKS).toMillis() / 1000;
            Entry entry = new Entry(file.getKey(), link ? '2' : '0', link ? 0777 : FileOps.mode(path), link ? 0 : Files.size(path), modified, target);
            writeEntry(out, entry, link ? null : path);
        }
        out.write(new byte[2 * BLOCK]);
        out.flush();
        return files.size();
    }

    private static void writeEntry(OutputStream out, Entry entry, Path content) throws IOException {
        if (utf8(entry.name).length >= NAME) writeLong(out, 'L', entry.name);
        if (utf8(entry.link).length >= NAME) writeLong(out, 'K', entry.link);
        out.write(header(entry));
        if (content == null) return;
        long written = Files.copy(content, out);
        if (written != entry.size) throw new IOException(content + " changed while it was archived");
        pad(out, written);
    }

    private static void writeLong(OutputStream out, char type, String text) throws IOException {
        byte[] bytes = Arrays.copyOf(utf8(text), utf8(text).length + 1);
        out.write(header(new Entry("././@LongLink", type, 0644, bytes.length, 0, "")));
        out.write(bytes);
        pad(out, bytes.length);
    }

    private static void pad(OutputStream out, long size) throws IOException {
        out.write(new byte[(int) ((BLOCK - size % BLOCK) % BLOCK)]);
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] header(Entry entry) {
        byte[] block = new byte[BLOCK];
        put(block, 0, NAME, utf8(entry.name));
        octal(block, 100, 8, entry.mode | (entry.type == '2' ? 0120000 : 0100000));
        octal(block, 108, 8, 0);
        octal(block, 116, 8, 0);
        octal(block, 124, 12, entry.size);
        octal(block, 136, 12, entry.modifiedSeconds);
        Arrays.fill(block, 148, 156, (byte) ' ');
        block[156] = (byte) entry.type;
        put(block, 157, NAME, utf8(entry.link));
        put(block, 257, 8, utf8("ustar  "));
        int sum = 0;
        for (byte b : block) sum += b & 0xFF;
        octal(block, 148, 7, sum);
        return block;
    }

    private static void put(byte[] block, int offset, int length, byte[] bytes) {
        System.arraycopy(bytes, 0, block, offset, Math.min(bytes.length, length));
    }

    private static void octal(byte[] block, int offset, int length, long value) {
        String digits = Long.toOctalString(value);
        if (digits.length() < length) {
            put(block, offset, length, utf8("0".repeat(length - 1 - digits.length()) + digits));
            return;
        }
        block[offset] = (byte) 0x80;
        for (int i = 0; i < 8; i++) block[offset + length - 1 - i] = (byte) (value >>> (8 * i));
    }

    private static long number(byte[] block, int offset, int length) throws IOException {
        if ((block[offset] & 0x80) != 0) {
            long value = 0;
            for (int i = Math.max(1, length - 8); i < length; i++) value = value << 8 | block[offset + i] & 0xFF;
            return value;
        }
        String digits = text(block, offset, length).trim();
        try {
            return digits.isEmpty() ? 0 : Long.parseLong(digits, 8);
        } catch (NumberFormatException e) {
            throw new IOException("tar header holds " + digits + " for a number", e);
        }
    }

    private static String text(byte[] block, int offset, int length) {
        int end = offset;
        while (end < offset + length && block[end] != 0) end++;
        return new String(block, offset, end - offset, StandardCharsets.UTF_8);
    }

    private static void checkSum(byte[] block) throws IOException {
        long sum = 0;
        for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : block[i] & 0xFF;
        if (sum != number(block, 148, 8)) throw new IOException("tar header has a wrong checksum");
    }

    /** Reads an archive to its end marker and the stream to its end; answers the number of entries. */
    public static int read(InputStream in, Visitor visitor) throws IOException {
        int entries = 0;
        String longName = null;
        String longLink = null;
        while (true) {
            byte[] block = in.readNBytes(BLOCK);
            if (block.length < BLOCK) throw new EOFException("tar stream ends in a header after " + entries + " entries");
            if (Arrays.equals(block, new byte[BLOCK])) break;
            checkSum(block);
            long size = number(block, 124, 12);
            char type = (char) block[156];
            Bounded content = new Bounded(in, size);
            if (type == 'L' || type == 'K') {
                byte[] bytes = content.readAllBytes();
                String value = text(bytes, 0, bytes.length);
                if (type == 'L') longName = value;
                else longLink = value;
            } else {
                String prefix = text(block, 257, 6).equals("ustar") && block[262] == 0 ? text(block, 345, 155) : "";
                String shortName = prefix.isEmpty() ? text(block, 0, NAME) : prefix + "/" + text(block, 0, NAME);
                Entry entry = new Entry(longName != null ? longName : shortName, type, (int) number(block, 100, 8) & 07777, size,
                        number(block, 136, 12), longLink != null ? longLink : text(block, 157, NAME));
                longName = null;
                longLink = null;
                visitor.entry(entry, content);
                entries++;
            }
            in.skipNBytes(content.left + (BLOCK - size % BLOCK) % BLOCK);
        }
        in.transferTo(OutputStream.nullOutputStream());
        return entries;
    }

    /** A name below a directory; refuses to leave it. */
    public static Path inside(Path base, String name) throws IOException {
        Path target = base.resolve(name).normalize();
        if (!target.startsWith(base.normalize())) throw new IOException("entry " + name + " leaves the directory");
        return target;
    }

    /** Extracts into a directory with modes, links and times. */
    public static void extract(InputStream in, Path base) throws IOException {
        read(in, (entry, content) -> {
            Path target = inside(base, entry.name);
            if (entry.type == '5') {
                Files.createDirectories(target);
                return;
            }
            Files.createDirectories(target.getParent());
            Files.deleteIfExists(target);
            if (entry.type == '2') {
                Files.createSymbolicLink(target, Path.of(entry.link));
                return;
            }
            Files.copy(content, target);
            FileOps.chmod(target, entry.mode & 0777);
            FileOps.setTime(target, entry.modifiedSeconds * 1000);
        });
    }

    private static final class Bounded extends InputStream {
        private final InputStream in;
        private long left;

        Bounded(InputStream in, long size) {
            this.in = in;
            this.left = size;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] target, int offset, int length) throws IOException {
            if (left == 0) return -1;
            int n = in.read(target, offset, (int) Math.min(length, left));
            if (n < 0) throw new EOFException("tar stream ends in an entry");
            left -= n;
            return n;
        }
    }
}

package pilotfish.peer.conformance;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Reproducible bytes and their hashes. */
final class Data {
    private static final Map<Long, String> HASHES = new ConcurrentHashMap<>();

    private Data() {}

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** SHA-256 of a {@link Source} of that size. */
    static String hash(long size) {
        return HASHES.computeIfAbsent(size, key -> {
            Hashing sink = new Hashing(0);
            try (InputStream in = new Source(key)) {
                in.transferTo(sink);
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
            return sink.hash();
        });
    }

    /** Bytes that no compression or repetition hides, the same in every run. */
    static final class Source extends InputStream {
        private long left;
        private long state = 0x9E3779B97F4A7C15L;

        Source(long size) {
            left = size;
        }

        @Override
        public int read() {
            if (left == 0) return -1;
            left--;
            // xorshift64*
            state ^= state >>> 12;
            state ^= state << 25;
            state ^= state >>> 27;
            return (int) (state * 0x2545F4914F6CDD1DL >>> 56);
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            if (left == 0) return -1;
            int n = (int) Math.min(left, length);
            for (int i = 0; i < n; i++) target[offset + i] = (byte) read();
            return n;
        }
    }

    /** Hashes what is written, waiting before every write if it is to be slow. */
    static final class Hashing extends OutputStream {
        private final MessageDigest digest = sha256();
        private final long delayMillis;
        private volatile long count;

        Hashing(long delayMillis) {
            this.delayMillis = delayMillis;
        }

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public synchronized void write(byte[] source, int offset, int length) throws IOException {
            if (delayMillis > 0) {
                try {
                    Thread.sleep(delayMillis);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new IOException(e);
                }
            }
            digest.update(source, offset, length);
            count += length;
        }

        long count() {
            return count;
        }

        synchronized String hash() {
            return HexFormat.of().formatHex(digest.digest());
        }
    }
}

package hudson.remoting;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.function.Consumer;

/** Commands as chunks: 15 bits of length and a bit for more to come (remoting-transport 3.2). */
public final class ChunkFraming {
    /** Payload of a chunk as peers send it. */
    public static final int PAYLOAD = 8192;
    private static final int MORE = 0x8000;
    private static final int LARGEST_COMMAND = 256 << 20;

    private final Consumer<byte[]> commands;
    private final ByteArrayOutputStream command = new ByteArrayOutputStream();
    private int header;
    private int headerBytes;
    private int bodyLeft;

    /** A reader that hands whole commands to {@code commands}. */
    public ChunkFraming(Consumer<byte[]> commands) {
        this.commands = commands;
    }

    /** Takes the next bytes of the stream; headers and bodies may be split anywhere. */
    public void feed(byte[] bytes) throws IOException {
        int at = 0;
        while (at < bytes.length) {
            if (headerBytes < 2) {
                header = header << 8 | bytes[at++] & 0xFF;
                if (++headerBytes == 2) bodyLeft = header & ~MORE;
            } else {
                int n = Math.min(bodyLeft, bytes.length - at);
                if (command.size() + n > LARGEST_COMMAND) throw new IOException("a command of more than " + LARGEST_COMMAND + " bytes");
                command.write(bytes, at, n);
                at += n;
                bodyLeft -= n;
            }
            if (headerBytes == 2 && bodyLeft == 0) endChunk();
        }
    }

    private void endChunk() {
        boolean more = (header & MORE) != 0;
        header = 0;
        headerBytes = 0;
        if (more) return;
        byte[] whole = command.toByteArray();
        command.reset();
        commands.accept(whole);
    }

    /** One chunk of a command, header included. */
    public static byte[] chunk(byte[] command, int offset) {
        int size = Math.min(PAYLOAD, command.length - offset);
        boolean more = offset + size < command.length;
        byte[] chunk = new byte[size + 2];
        chunk[0] = (byte) ((more ? MORE | size : size) >> 8);
        chunk[1] = (byte) size;
        System.arraycopy(command, offset, chunk, 2, size);
        return chunk;
    }
}

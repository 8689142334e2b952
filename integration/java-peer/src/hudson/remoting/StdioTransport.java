package hudson.remoting;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** Commands in chunks over a pair of streams, after a greeting (remoting-transport 5.2). */
final class StdioTransport implements Channel.Transport {
    private static final byte[] PREAMBLE = "<===[JENKINS REMOTING CAPACITY]===>".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] BINARY = {0, 0, 0, 0};
    private static final int CAPABILITY_TEXT = 84;

    private final InputStream input;
    private final OutputStream output;

    StdioTransport(InputStream input, OutputStream output) {
        this.input = input;
        this.output = output;
    }

    /** Says what this side can do and reads the same of the other. */
    void greet() throws IOException {
        output.write(PREAMBLE);
        output.write(new Capability(Capability.CURRENT).encode().getBytes(StandardCharsets.US_ASCII));
        output.write(BINARY);
        output.flush();
        skipTo(PREAMBLE);
        Capability theirs = Capability.decode(new String(input.readNBytes(CAPABILITY_TEXT), StandardCharsets.US_ASCII));
        if ((theirs.mask() & 0x7E) != 0x7E) throw new IOException("the other side has capability " + Long.toHexString(theirs.mask()));
        skipTo(BINARY);
    }

    private void skipTo(byte[] mark) throws IOException {
        for (int matched = 0; matched < mark.length; ) {
            int b = input.read();
            if (b < 0) throw new IOException("the other side ended before it greeted");
            if (b == mark[matched]) matched++;
            else matched = b == mark[0] ? 1 : 0;
        }
    }

    /** Hands commands to the channel until the input ends. */
    void read(Channel channel) {
        ChunkFraming framing = new ChunkFraming(channel::receive);
        byte[] buffer = new byte[1 << 16];
        try {
            for (int n = input.read(buffer); n >= 0; n = input.read(buffer)) {
                framing.feed(n == buffer.length ? buffer : java.util.Arrays.copyOf(buffer, n));
            }
            channel.terminate("the input ended");
        } catch (IOException e) {
            channel.terminate("the input cannot be read: " + e.getMessage());
        }
    }

    @Override
    public void send(byte[] command) throws IOException {
        for (int at = 0; at < command.length; at += ChunkFraming.PAYLOAD) output.write(ChunkFraming.chunk(command, at));
        output.flush();
    }

    @Override
    public void close() {
        // The process ends with its channel.
    }
}

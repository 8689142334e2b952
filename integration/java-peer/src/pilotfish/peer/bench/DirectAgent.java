package pilotfish.peer.bench;

import hudson.remoting.Capability;
import hudson.remoting.Channel;
import hudson.remoting.ChunkFraming;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;

/**
 * An agent in a JVM of its own on a WebSocket of its own, for comparison: nothing but a socket, with the least work that
 * the protocol allows (no TLS, no pings).
 */
public final class DirectAgent implements Channel.Transport {
    private static final int BINARY = 0x82;
    private static final int CLOSE = 0x88;
    private static final int MASKED = 0x80;

    private final Socket socket;
    private final DataInputStream in;
    private final OutputStream out;
    private final Channel channel;

    /** Arguments: the controller's URL, the agent's name, the file with its secret. */
    public static void main(String[] arguments) throws Exception {
        String secret = Files.readString(Path.of(arguments[2])).trim();
        DirectAgent agent = new DirectAgent(URI.create(arguments[0]), arguments[1], secret);
        agent.channel.terminate(agent.read());
        System.exit(0);
    }

    private DirectAgent(URI url, String name, String secret) throws IOException {
        socket = new Socket(url.getHost(), url.getPort());
        socket.setTcpNoDelay(true);
        in = new DataInputStream(new BufferedInputStream(socket.getInputStream(), 1 << 16));
        out = new BufferedOutputStream(socket.getOutputStream(), 1 << 16);
        String request = "GET /wsagents/ HTTP/1.1\r\nHost: " + url.getAuthority() + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nNode-Name: " + name
                + "\r\nSecret-Key: " + secret
                + "\r\nX-Remoting-Capability: " + new Capability(Capability.CURRENT).encode() + "\r\n\r\n";
        out.write(request.getBytes(StandardCharsets.US_ASCII));
        out.flush();
        String status = line();
        if (!status.contains(" 101 ")) throw new IOException("refused: " + status);
        while (!line().isEmpty()) continue;
        channel = new Channel(name, this, Executors.newCachedThreadPool(), false);
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int b = in.readUnsignedByte(); b != '\n'; b = in.readUnsignedByte()) {
            if (b != '\r') line.append((char) b);
        }
        return line.toString();
    }

    /** Hands commands to the channel until the end; answers what that was. */
    private String read() {
        ChunkFraming framing = new ChunkFraming(channel::receive);
        try {
            while (true) {
                int opcode = in.readUnsignedByte();
                int length = in.readUnsignedByte();
                if (length == 126) length = in.readUnsignedShort();
                byte[] payload = new byte[length];
                in.readFully(payload);
                if (opcode == BINARY) framing.feed(payload);
                else if (opcode == CLOSE) return "closed by the controller";
                // A ping of a controller that is measured is not worth an answer.
            }
        } catch (IOException e) {
            return "connection failed: " + e.getMessage();
        }
    }

    @Override
    public synchronized void send(byte[] command) throws IOException {
        for (int offset = 0; offset < command.length; offset += ChunkFraming.PAYLOAD) {
            frame(BINARY, ChunkFraming.chunk(command, offset));
        }
        out.flush();
    }

    private void frame(int opcode, byte[] payload) throws IOException {
        out.write(opcode);
        if (payload.length < 126) {
            out.write(MASKED | payload.length);
        } else {
            out.write(MASKED | 126);
            out.write(payload.length >> 8);
            out.write(payload.length);
        }
        int mask = ThreadLocalRandom.current().nextInt();
        for (int shift = 24; shift >= 0; shift -= 8) out.write(mask >> shift);
        for (int i = 0; i < payload.length; i++) payload[i] ^= (byte) (mask >> 24 - 8 * (i & 3));
        out.write(payload);
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            // Gone already.
        }
    }
}

package pilotfish.peer;

import hudson.remoting.Capability;
import hudson.remoting.Channel;
import hudson.remoting.ChunkFraming;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** An agent made of the same protocol classes: runs the callables' bodies, so the peer can be tried without another agent. */
public final class StandIn implements WebSocket.Listener, Channel.Transport {
    private final Channel channel;
    private final ChunkFraming framing;
    private final Semaphore order = new Semaphore(1, true);
    private final ByteArrayOutputStream partial = new ByteArrayOutputStream();
    private volatile WebSocket socket;

    private StandIn(String name) {
        channel = new Channel(name, this, Executors.newCachedThreadPool(), false);
        framing = new ChunkFraming(channel::receive);
    }

    static int run(Options options) throws Exception {
        String url = options.get("url", null);
        if (url == null) throw new IllegalArgumentException("standin needs --url");
        StandIn agent = new StandIn(options.get("name", "agent-1"));
        agent.connect(url, options.get("name", "agent-1"), Files.readString(Path.of(options.get("secret-file", ""))).trim());
        // Its streams are released when the collector finds them, so it must run now and then.
        Executors.newSingleThreadScheduledExecutor(task -> {
            Thread thread = new Thread(task, "collector");
            thread.setDaemon(true);
            return thread;
        }).scheduleWithFixedDelay(System::gc, 2, 2, TimeUnit.SECONDS);
        String end = agent.channel.closed().get();
        System.err.println("stand-in: " + end);
        agent.channel.complaints().forEach(complaint -> System.err.println("stand-in: " + complaint));
        return agent.channel.complaints().isEmpty() ? 0 : 1;
    }

    private void connect(String url, String name, String secret) throws IOException {
        HttpClient.newHttpClient().newWebSocketBuilder()
                .header("Node-Name", name)
                .header("Secret-Key", secret)
                .header("X-Remoting-Capability", new Capability(Capability.CURRENT).encode())
                .buildAsync(URI.create(url.replaceFirst("^http", "ws") + "wsagents/"), this)
                .join();
    }

    /** Comes before the first message, which may come before {@code buildAsync} has completed. */
    @Override
    public void onOpen(WebSocket opened) {
        socket = opened;
        opened.request(1);
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket from, ByteBuffer data, boolean last) {
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        partial.writeBytes(bytes);
        if (last) {
            byte[] message = partial.toByteArray();
            partial.reset();
            try {
                framing.feed(message);
            } catch (IOException e) {
                channel.terminate(e.getMessage());
            }
        }
        from.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket from, int code, String reason) {
        channel.terminate("WebSocket closed: " + code);
        return null;
    }

    @Override
    public void onError(WebSocket from, Throwable failure) {
        channel.terminate("WebSocket failed: " + failure);
    }

    @Override
    public void send(byte[] command) throws IOException {
        order.acquireUninterruptibly();
        try {
            for (int offset = 0; offset < command.length; offset += ChunkFraming.PAYLOAD) {
                socket.sendBinary(ByteBuffer.wrap(ChunkFraming.chunk(command, offset)), true).join();
            }
        } catch (CompletionException e) {
            throw new IOException(e.getCause());
        } finally {
            order.release();
        }
    }

    @Override
    public void close() {
        if (socket != null) socket.sendClose(WebSocket.NORMAL_CLOSURE, "");
    }
}

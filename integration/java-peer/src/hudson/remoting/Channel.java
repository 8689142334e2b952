package hudson.remoting;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InvalidClassException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.ObjectStreamClass;
import java.lang.ref.Cleaner;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** One end of a connection: sends commands, carries out those that come, and keeps the tables (remoting-channel 2 to 6). */
public final class Channel implements VirtualChannel, IChannel {
    /** Longest wait for an answer, as for a controller's ping. */
    public static final long ANSWER_SECONDS = 240;

    static final Cleaner CLEANER = Cleaner.create();
    private static final ThreadLocal<Channel> CURRENT = new ThreadLocal<>();
    private static final ThreadLocal<int[]> IO = ThreadLocal.withInitial(() -> new int[2]);

    private final String name;
    private final Transport transport;
    private final Executor pool;
    private final boolean controllerSide;
    private final Loaders loaders;
    private final ExportTable exportedObjects = new ExportTable();
    private final PipeWriter pipeWriter;
    private final StreamWatch watch = new StreamWatch();
    private final Map<Integer, Request> pending = new ConcurrentHashMap<>();
    private final Map<Integer, Execution> executing = new ConcurrentHashMap<>();
    private final Map<Integer, PipeWindow> windows = new ConcurrentHashMap<>();
    private final Map<Object, Object> properties = new ConcurrentHashMap<>();
    private final Map<LoaderSpace, Integer> remoteLoaders = new EnumMap<>(LoaderSpace.class);
    private final List<String> complaints = new CopyOnWriteArrayList<>();
    private final AtomicInteger ioId = new AtomicInteger();
    private final CompletableFuture<String> closed = new CompletableFuture<>();
    private final ChannelFigures figures = new ChannelFigures();
    private final Object sendLock = new Object();
    private boolean closeSent;
    private volatile boolean closeReceived;
    private volatile Consumer<byte[]> tap = bytes -> {};

    /** What carries one encoded command to the other side. */
    public interface Transport {
        void send(byte[] command) throws IOException;

        void close();
    }

    /** Modes of a channel on a pair of streams; only this one is left. */
    public enum Mode {
        BINARY
    }

    public Channel(String name, Transport transport, Executor pool, boolean controllerSide) {
        this(name, transport, pool, controllerSide, new PeerLoaders());
    }

    Channel(String name, Transport transport, Executor pool, boolean controllerSide, Loaders loaders) {
        this.name = name;
        this.loaders = loaders;
        this.transport = transport;
        this.pool = pool;
        this.controllerSide = controllerSide;
        this.pipeWriter = new PipeWriter(pool);
        exportedObjects.pin(exportedObjects.export(IChannel.class, this));
    }

    /** The channel that the running thread serialises for or executes a request of. */
    public static Channel current() {
        return CURRENT.get();
    }

    static Channel enter(Channel channel) {
        Channel before = CURRENT.get();
        CURRENT.set(channel);
        return before;
    }

    public String name() {
        return name;
    }

    public ExportTable exports() {
        return exportedObjects;
    }

    public StreamWatch watch() {
        return watch;
    }

    public ChannelFigures figures() {
        return figures;
    }

    PipeWriter pipeWriter() {
        return pipeWriter;
    }

    Executor pool() {
        return pool;
    }

    boolean isControllerSide() {
        return controllerSide;
    }

    Loaders loaders() {
        return loaders;
    }

    Map<Integer, Execution> executing() {
        return executing;
    }

    /** Breaches of the protocol by the other side, in order. */
    public List<String> complaints() {
        return complaints;
    }

    void complain(String what) {
        complaints.add(what);
    }

    /** Sees every received command before it is decoded. */
    public void tap(Consumer<byte[]> receiver) {
        tap = receiver;
    }

    public void setProperty(Object key, Object value) {
        properties.put(key, value);
    }

    @Override
    public Object getProperty(Object key) {
        return key == null ? null : properties.get(key);
    }

    @Override
    public Object waitForProperty(Object key) {
        return getProperty(key);
    }

    // Calls.

    /** Runs a callable on the other side and waits for its result. */
    public <V, T extends Throwable> V call(Callable<V, T> callable) throws T, IOException, InterruptedException {
        UserRequest<V, T> request = callAsync(callable);
        try {
            return request.result(ANSWER_SECONDS);
        } finally {
            request.releaseExports();
        }
    }

    /** Starts a callable on the other side; its own exports live until their holder releases them. */
    public <V, T extends Throwable> UserRequest<V, T> callAsync(Callable<V, T> callable) throws IOException {
        UserRequest<V, T> request = new UserRequest<>(this, callable);
        start(request);
        return request;
    }

    @SuppressWarnings("unchecked")
    @Override
    public <T> T export(Class<T> type, T instance) {
        if (instance == null) return null;
        int oid = exportedObjects.export(type, instance);
        ExportList recording = ExportList.current();
        if (recording != null) recording.add(oid);
        return (T) RemoteInvocationHandler.outgoing(type, oid, true, recording != null);
    }

    /** One reference more on the loader, as for every time that it is written. */
    int exportLoader(LoaderSpace space) {
        return exportedObjects.export(RemoteClassLoader.IClassLoader.class, space.proxy());
    }

    synchronized void rememberRemoteLoader(LoaderSpace space, int oid) {
        remoteLoaders.put(space, oid);
    }

    /** Oid of the other side's loader for the space, or of any loader that sees it. */
    synchronized int remoteLoader(LoaderSpace space) {
        Integer oid = remoteLoaders.getOrDefault(space, remoteLoaders.get(LoaderSpace.CORE));
        if (oid == null) throw new IllegalStateException("no loader of the controller is known yet");
        return oid;
    }

    void start(Request request) throws IOException {
        pending.put(request.id, request);
        request.sentAt = System.nanoTime();
        try {
            send(request);
        } catch (IOException | RuntimeException e) {
            pending.remove(request.id);
            throw e;
        }
        if (closed.isDone() && pending.remove(request.id) != null) request.abort(closed.join());
    }

    Response await(Request request, long seconds) throws IOException, InterruptedException {
        Response response;
        try {
            response = request.future.get(seconds, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            throw new IOException("no answer to request " + request.id + " (" + request + ") within " + seconds + " s", e);
        } catch (java.util.concurrent.ExecutionException e) {
            throw new IOException(e.getCause().getMessage(), e.getCause());
        }
        pipeWriter.await(response.lastIoId);
        return response;
    }

    void answered(Response response) {
        Request request = pending.remove(response.id);
        if (request == null) {
            complain("Response for id " + response.id + ", which is not waiting");
            return;
        }
        figures.answered(System.nanoTime() - request.sentAt);
        request.future.complete(response);
    }

    // Streams.

    int nextIoId() {
        int id = ioId.incrementAndGet();
        IO.get()[0] = id;
        return id;
    }

    static int lastIoId() {
        return IO.get()[0];
    }

    /** Id of the request that the running thread executes, or 0. */
    static int requestId() {
        return IO.get()[1];
    }

    static void beginRequest(int id) {
        IO.get()[0] = 0;
        IO.get()[1] = id;
    }

    PipeWindow window(int oid) {
        return windows.computeIfAbsent(oid, key -> new PipeWindow());
    }

    void acknowledged(int oid, int size) {
        PipeWindow window = windows.get(oid);
        // A side that shares its connection is told of the other's too: only a controller's acknowledgements are all its own.
        if (!controllerSide && window == null) return;
        if (window == null) complain("Ack for oid " + oid + ", to which nothing was sent");
        else if (window.acknowledge(size)) complain("Ack of more than was sent to oid " + oid);
    }

    void deadWriter(int oid, IOException cause) {
        window(oid).kill(cause);
    }

    /** Bytes sent to streams of the other side that it has not acknowledged. */
    public int unacknowledged() {
        return windows.values().stream().mapToInt(PipeWindow::unacknowledged).sum();
    }

    /** Waits until the other side has done every write sent so far. */
    public void syncIO() throws InterruptedException, IOException {
        call(new IOSyncer());
    }

    /** Waits until every write received so far has been carried out. */
    public void drainWrites() throws InterruptedException {
        pipeWriter.drain();
    }

    // Commands.

    public void send(Command command) throws IOException {
        byte[] bytes = encode(command);
        synchronized (sendLock) {
            if (closeSent) throw new IOException("channel " + name + " is closing");
            if (command instanceof CloseCommand) closeSent = true;
            transport.send(bytes);
        }
        figures.sent(bytes.length);
    }

    private byte[] encode(Command command) throws IOException {
        Channel before = enter(this);
        try {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
            try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
                out.writeObject(command);
            }
            return bytes.toByteArray();
        } finally {
            CURRENT.set(before);
        }
    }

    /** Takes one command of the other side; called in order by the transport's reader. */
    public void receive(byte[] bytes) {
        if (bytes.length == 0) return;
        tap.accept(bytes);
        figures.received(bytes.length);
        Channel before = enter(this);
        try {
            Command command;
            try (ObjectInputStream in = new OuterInput(bytes)) {
                command = (Command) in.readObject();
            }
            if (closeReceived) complain(command.getClass().getName() + " after CloseCommand");
            figures.command(command.getClass());
            command.execute(this);
        } catch (Exception e) {
            complain("command of " + bytes.length + " bytes failed: " + e);
        } finally {
            CURRENT.set(before);
        }
    }

    /** Only the JDK and the protocol's own classes may stand in the outer stream (remoting-channel 1.5). */
    private static final class OuterInput extends ObjectInputStream {
        OuterInput(byte[] bytes) throws IOException {
            super(new ByteArrayInputStream(bytes));
        }

        @Override
        protected Class<?> resolveClass(ObjectStreamClass desc) throws IOException, ClassNotFoundException {
            Class<?> type = UserInput.load(desc.getName());
            boolean allowed = LoaderSpace.isJdk(type) || LoaderSpace.elementName(type.getName()).startsWith("hudson.remoting.");
            if (!allowed) throw new InvalidClassException(desc.getName(), "not allowed in an outer command");
            return type;
        }
    }

    // End.

    /** Says good-bye; the other side answers with its own CloseCommand. */
    public void close() throws IOException {
        send(new CloseCommand());
    }

    /** The reason of the end, once there is one. */
    public CompletableFuture<String> closed() {
        return closed;
    }

    /** Waits for the end. */
    public void join() {
        closed.join();
    }

    public boolean closeReceived() {
        return closeReceived;
    }

    /** Ends the channel at once: pending calls fail, windows die, exports go. */
    public void terminate(String reason) {
        if (!closed.complete(reason)) return;
        pending.values().forEach(request -> request.abort(reason));
        pending.clear();
        IOException dead = new IOException("channel " + name + " ended: " + reason);
        windows.values().forEach(window -> window.kill(dead));
        executing.values().forEach(Execution::interrupt);
        for (Object object : exportedObjects.clear()) {
            // One that stands for a stream of the other side is exported until that connects it.
            if (object instanceof ProxyOutputStream stream) stream.abandon();
            else if (object instanceof ErrorPropagatingOutputStream stream) stream.error(dead);
        }
        transport.close();
    }

    /** The last command of a side (remoting-channel 6). */
    public static final class CloseCommand extends Command {
        private static final long serialVersionUID = 972857271608138115L;

        CloseCommand() {
            super(true);
        }

        @Override
        protected void execute(Channel channel) {
            channel.closeReceived = true;
            try {
                channel.send(new CloseCommand());
            } catch (IOException e) {
                // Already said, or the transport is gone: nothing is left to say.
            }
            channel.terminate("closed by both sides");
        }
    }

    /** Answers null once all earlier stream writes are done (remoting-channel 4). */
    public static final class IOSyncer implements Callable<Void, InterruptedException> {
        private static final long serialVersionUID = 1;

        @Override
        public Void call() throws InterruptedException {
            Channel channel = current();
            if (channel != null) channel.drainWrites();
            return null;
        }

        @Override
        public void checkRoles(org.jenkinsci.remoting.RoleChecker checker) {}
    }
}

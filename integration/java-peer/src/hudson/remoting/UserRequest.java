package hudson.remoting;

import java.io.IOException;
import java.io.Serializable;

/** Carries a {@link Callable} in a stream of its own (remoting-channel 3.1). */
public final class UserRequest<V, T extends Throwable> extends Request {
    private static final long serialVersionUID = 1;

    private final RemoteClassLoader.IClassLoader classLoaderProxy;
    private final byte[] request;
    private final String toString;

    private final transient Channel channel;
    private final transient ExportList exported;

    UserRequest(Channel channel, Callable<V, T> callable) throws IOException {
        super(true);
        this.channel = channel;
        this.toString = callable.toString();
        exported = ExportList.start();
        try {
            request = UserOutput.serialize(channel, callable);
        } finally {
            ExportList.stop();
        }
        classLoaderProxy = channel.loaders().ofCallable(channel, callable);
    }

    void releaseExports() {
        exported.release(channel.exports());
    }

    /** Asks the other side to interrupt the execution. */
    public void cancel() throws IOException {
        channel.send(new Cancel(id));
    }

    public boolean isDone() {
        return future.isDone();
    }

    /** Waits for the answer and unpacks it. */
    @SuppressWarnings("unchecked")
    public V result(long seconds) throws T, IOException, InterruptedException {
        Response answer = channel.await(this, seconds);
        if (answer.exception != null) throw new IOException("request " + toString + " failed outside user code", answer.exception);
        if (answer.returnValue instanceof ResponseToUserRequest user) return (V) user.unpack(channel);
        String type = answer.returnValue == null ? "null" : answer.returnValue.getClass().getName();
        throw new IOException("answer to " + toString + " is " + type + ", not NormalResponse or ExceptionResponse");
    }

    @Override
    protected Serializable perform(Channel executor) throws IOException {
        try {
            if (classLoaderProxy == null) throw new IOException("UserRequest " + id + " names no class loader");
            Thread.currentThread().setContextClassLoader(executor.loaders().context(executor, classLoaderProxy));
            Callable<?, ?> callable = (Callable<?, ?>) UserInput.deserialize(executor, request);
            if (executor.isControllerSide()) Directions.check(callable);
            Object result = callable.call();
            return new NormalResponse(UserOutput.serialize(executor, result));
        } catch (Throwable t) {
            byte[] raw;
            try {
                raw = UserOutput.serialize(executor, t);
            } catch (IOException e) {
                raw = null;
            }
            return new ExceptionResponse(raw, UserOutput.serialize(executor, new ProxyException(t)));
        }
    }

    /** Throws what the other side threw, without wrapping it. */
    @SuppressWarnings("unchecked")
    private static <X extends Throwable> X sneak(Throwable thrown) throws X {
        throw (X) thrown;
    }

    @Override
    public String toString() {
        return toString + "#" + id;
    }

    /** What a UserRequest returns when the peer has bit 8 of the capability. */
    interface ResponseToUserRequest extends Serializable {
        Object unpack(Channel channel) throws IOException;
    }

    /** The result in a user stream. */
    public static final class NormalResponse implements ResponseToUserRequest {
        private static final long serialVersionUID = 1;

        private final byte[] response;

        NormalResponse(byte[] response) {
            this.response = response;
        }

        @Override
        public Object unpack(Channel channel) throws IOException {
            try {
                return UserInput.deserialize(channel, response);
            } catch (ClassNotFoundException e) {
                throw new IOException("answer cannot be read: " + e, e);
            }
        }
    }

    /** The exception itself and a stand-in for callers that lack its class. */
    public static final class ExceptionResponse implements ResponseToUserRequest {
        private static final long serialVersionUID = 1;

        private final byte[] proxyResponse;
        private final byte[] rawResponse;

        ExceptionResponse(byte[] rawResponse, byte[] proxyResponse) {
            this.rawResponse = rawResponse;
            this.proxyResponse = proxyResponse;
        }

        @Override
        public Object unpack(Channel channel) throws IOException {
            Throwable thrown = null;
            String rawFailure = null;
            if (rawResponse != null) {
                try {
                    thrown = (Throwable) UserInput.deserialize(channel, rawResponse);
                } catch (IOException | ClassNotFoundException | RuntimeException e) {
                    rawFailure = e.toString();
                }
            }
            try {
                Throwable proxy = (Throwable) UserInput.deserialize(channel, proxyResponse);
                if (!(proxy instanceof ProxyException)) channel.complain("proxyResponse holds " + proxy.getClass().getName());
                if (thrown == null) thrown = proxy;
            } catch (IOException | ClassNotFoundException | RuntimeException e) {
                channel.complain("proxyResponse cannot be read: " + e);
            }
            if (rawFailure != null) channel.complain("rawResponse cannot be read: " + rawFailure);
            if (thrown == null) throw new IOException("the exception of the other side cannot be read");
            throw UserRequest.<RuntimeException>sneak(thrown);
        }
    }
}

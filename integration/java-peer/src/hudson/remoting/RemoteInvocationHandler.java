package hudson.remoting;

import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;

/** Behind every travelling proxy: turns method calls into requests to the object's home (remoting-channel 3.3). */
public final class RemoteInvocationHandler implements InvocationHandler, Serializable {
    private static final long serialVersionUID = 1;

    private final int oid;
    private final boolean userProxy;
    private final boolean autoUnexportByCaller;
    /** Set on the wire only: the oid is of the reader's table. */
    private boolean goingHome;
    private final boolean userSpace;
    private final boolean recordCreatedAt;
    private final Throwable origin;

    /** Where the object lives; null in a proxy made here for an object of ours. */
    private transient Channel home;
    private transient AtomicBoolean released;

    private RemoteInvocationHandler(int oid, boolean userProxy, boolean autoUnexportByCaller) {
        this.oid = oid;
        this.userProxy = userProxy;
        this.autoUnexportByCaller = autoUnexportByCaller;
        this.userSpace = userProxy;
        this.recordCreatedAt = userProxy;
        this.origin = userProxy ? new Exception("Proxy created at") : null;
    }

    static Object outgoing(Class<?> type, int oid, boolean userProxy, boolean autoUnexport) {
        Class<?>[] types = {type, IReadResolve.class};
        ClassLoader loader = type.getClassLoader() == null ? Channel.class.getClassLoader() : type.getClassLoader();
        return Proxy.newProxyInstance(loader, types, new RemoteInvocationHandler(oid, userProxy, autoUnexport));
    }

    /** A loader that the other side named by its oid. It is never given back. */
    static RemoteClassLoader.IClassLoader remoteLoader(Channel home, int oid) {
        Class<?>[] types = {RemoteClassLoader.IClassLoader.class, IReadResolve.class};
        RemoteInvocationHandler handler = new RemoteInvocationHandler(oid, false, true);
        handler.home = home;
        handler.released = new AtomicBoolean(true);
        return (RemoteClassLoader.IClassLoader) Proxy.newProxyInstance(Channel.class.getClassLoader(), types, handler);
    }

    /** The oid behind a proxy, in the table of the object's home. */
    public static int oidOf(Object proxy) {
        return ((RemoteInvocationHandler) Proxy.getInvocationHandler(proxy)).oid;
    }

    /** Gives up a received proxy: its home drops one reference. */
    public static void release(Object proxy) throws IOException {
        RemoteInvocationHandler handler = (RemoteInvocationHandler) Proxy.getInvocationHandler(proxy);
        if (handler.home != null && handler.released.compareAndSet(false, true)) handler.home.send(new UnexportCommand(handler.oid));
    }

    /** A call without arguments as a callable, for callers that need the outer request to cancel it. */
    public static Callable<Object, Throwable> rpc(Object proxy, Class<?> type, String method) throws NoSuchMethodException {
        return new UserRPCRequest(oidOf(proxy), type.getMethod(method), new Object[0]);
    }

    private void writeObject(ObjectOutputStream out) throws IOException {
        boolean before = goingHome;
        goingHome = home != null;
        try {
            out.defaultWriteObject();
        } finally {
            goingHome = before;
        }
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        in.defaultReadObject();
        home = Channel.current();
        released = new AtomicBoolean(goingHome || autoUnexportByCaller);
        if (!released.get()) Channel.CLEANER.register(this, new Release(home, oid, released));
    }

    /** Must not refer to the handler, or that would never be collected. */
    private record Release(Channel home, int oid, AtomicBoolean released) implements Runnable {
        @Override
        public void run() {
            if (home.closed().isDone() || !released.compareAndSet(false, true)) return;
            try {
                home.send(new UnexportCommand(oid));
            } catch (IOException e) {
                // The channel ended: so did the export.
            }
        }
    }

    @Override
    public Object invoke(Object proxy, Method method, Object[] args) throws Throwable {
        Class<?> declaring = method.getDeclaringClass();
        if (declaring == IReadResolve.class) return goingHome ? home.exports().get(oid) : proxy;
        if (declaring == Object.class) {
            return switch (method.getName()) {
                case "equals" -> proxy == args[0];
                case "hashCode" -> oid;
                default -> proxy.getClass().getInterfaces()[0].getName() + "@" + oid;
            };
        }
        if (home == null) throw new IllegalStateException("this proxy stands for an object of this side");
        if (userProxy) return home.call(new UserRPCRequest(oid, method, args));
        RPCRequest request = new RPCRequest(oid, method, args);
        home.start(request);
        Response response = home.await(request, Channel.ANSWER_SECONDS);
        if (response.exception != null) throw response.exception;
        return response.returnValue;
    }

    /** A method call on an object of the receiver (remoting-channel 3.2). */
    public static class RPCRequest extends Request implements Callable<Object, Throwable> {
        private static final long serialVersionUID = 1;

        private final int oid;
        private final String methodName;
        private final String[] types;
        private final Object[] arguments;
        /** On the wire since remoting 3355; null from older peers. */
        private final String declaringClassName;

        RPCRequest(int oid, Method method, Object[] arguments) {
            super(true);
            this.oid = oid;
            this.arguments = arguments == null ? new Object[0] : arguments;
            methodName = method.getName();
            declaringClassName = method.getDeclaringClass().getName();
            types = Arrays.stream(method.getParameterTypes()).map(Class::getName).toArray(String[]::new);
        }

        String declaringClassName() {
            return declaringClassName;
        }

        @Override
        protected Serializable perform(Channel channel) throws Throwable {
            return (Serializable) invokeOn(channel);
        }

        @Override
        public Object call() throws Throwable {
            return invokeOn(Channel.current());
        }

        private Object invokeOn(Channel channel) throws Throwable {
            Object target = channel.exports().get(oid);
            for (Class<?> type : channel.exports().types(oid)) {
                for (Method method : type.getMethods()) {
                    String[] declared = Arrays.stream(method.getParameterTypes()).map(Class::getName).toArray(String[]::new);
                    if (!method.getName().equals(methodName) || !Arrays.equals(declared, types)) continue;
                    try {
                        method.setAccessible(true);
                        return method.invoke(target, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                }
            }
            throw new ExecutionException("oid " + oid + " has no method " + methodName + Arrays.toString(types), null);
        }

        @Override
        public void checkRoles(org.jenkinsci.remoting.RoleChecker checker) {}

        @Override
        public String toString() {
            return "RPC " + declaringClassName + "." + methodName + " on oid " + oid;
        }
    }

    /** The same inside a UserRequest. */
    public static final class UserRPCRequest extends RPCRequest {
        private static final long serialVersionUID = -9185841650347902580L;

        UserRPCRequest(int oid, Method method, Object[] arguments) {
            super(oid, method, arguments);
        }
    }
}

package hudson.remoting;

import java.util.Arrays;
import java.util.List;

/**
 * The class loaders of a controller as seen from outside: core and one per plugin. All classes here live in one
 * real loader; the spaces give each its own oid and hide plugin classes from core, as on a controller.
 */
public enum LoaderSpace {
    CORE("Jenkins core", List.of(), List.of()),
    DURABLE_TASK("durable-task", List.of("org.jenkinsci.plugins.durabletask."), List.of()),
    WORKFLOW("workflow-durable-task-step", List.of("org.jenkinsci.plugins.workflow.steps.", "org.jenkinsci.plugins.workflow.log."), List.of(DURABLE_TASK)),
    UNKNOWN_PLUGIN("unknown-plugin", List.of("pilotfish.peer.unknown."), List.of()),
    PLUGIN_ONE("plugin-one", List.of("pilotfish.peer.plugin.one."), List.of()),
    PLUGIN_TWO("plugin-two", List.of("pilotfish.peer.plugin.two."), List.of(PLUGIN_ONE));

    private final String title;
    private final List<String> prefixes;
    private final List<LoaderSpace> parents;
    private final ClassLoaderProxy proxy = new ClassLoaderProxy(this);

    LoaderSpace(String title, List<String> prefixes, List<LoaderSpace> parents) {
        this.title = title;
        this.prefixes = prefixes;
        this.parents = parents;
    }

    public String title() {
        return title;
    }

    ClassLoaderProxy proxy() {
        return proxy;
    }

    /** The space that defines a class of this peer. */
    public static LoaderSpace of(String className) {
        String name = elementName(className);
        return Arrays.stream(values()).filter(space -> space.prefixes.stream().anyMatch(name::startsWith)).findFirst().orElse(CORE);
    }

    /** The space whose loader goes with a request; for a wrapped file callable that of the inner one. */
    static LoaderSpace ofCallable(Object callable) {
        Object inner = callable instanceof DelegatingCallable delegating ? delegating.inner() : callable;
        return inner instanceof RemoteInvocationHandler.RPCRequest rpc ? of(rpc.declaringClassName()) : of(inner.getClass().getName());
    }

    /** Whether a class of that space can be loaded through this one. */
    public boolean sees(LoaderSpace other) {
        return other == this || other == CORE || parents.contains(other);
    }

    static boolean isJdk(Class<?> type) {
        ClassLoader loader = type.getClassLoader();
        return loader == null || loader == ClassLoader.getPlatformClassLoader();
    }

    /** Name of an array's element class, or the name itself. */
    static String elementName(String className) {
        String name = className;
        while (name.startsWith("[")) name = name.substring(1);
        return name.length() < className.length() && name.startsWith("L") ? name.substring(1, name.length() - 1) : name;
    }

    /** A callable whose class loader is that of another object inside it. */
    public interface DelegatingCallable {
        Object inner();
    }
}

package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.CpsTransformer;
import com.cloudbees.groovy.cps.TransformerConfiguration;
import com.cloudbees.groovy.cps.impl.CpsCallableInvocation;
import groovy.lang.GroovyClassLoader;
import groovy.lang.Script;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Path;
import java.util.Map;
import org.codehaus.groovy.control.CompilerConfiguration;

/** The library, compiled as a controller compiles it. */
final class Library {
    final GroovyClassLoader loader;
    private final Class<?> step;

    Library(Path root) throws Exception {
        CompilerConfiguration configuration = new CompilerConfiguration();
        CpsTransformer transformer = new CpsTransformer();
        transformer.setConfiguration(new TransformerConfiguration().withSafepoint(Library.class, "safepoint"));
        configuration.addCompilationCustomizers(transformer);
        configuration.setScriptBaseClass(Steps.class.getName());
        configuration.setSourceEncoding("UTF-8");
        loader = new GroovyClassLoader(Library.class.getClassLoader(), configuration);
        loader.addClasspath(root.resolve("src").toString());
        step = loader.parseClass(root.resolve("vars/pilotfish.groovy").toFile());
    }

    /** Called at every loop and every call: another branch may go on there, as on a controller. */
    public static void safepoint() {
        Continuable.suspend(null);
    }

    /** What `pilotfish(options)` in a Jenkinsfile starts. */
    Continuable call(Map<String, Object> options) throws Exception {
        return start((Script) step.getDeclaredConstructor().newInstance(), "call", new Class<?>[] {Map.class}, options);
    }

    /** The code of a script. */
    Continuable script(String text) throws Exception {
        return start((Script) loader.parseClass(text).getDeclaredConstructor().newInstance(), "run", new Class<?>[0]);
    }

    private static Continuable start(Script script, String method, Class<?>[] types, Object... arguments) throws Exception {
        try {
            script.getClass().getMethod(method, types).invoke(script, arguments);
            throw new IllegalStateException("the script is not transformed");
        } catch (InvocationTargetException e) {
            return new Continuable(((CpsCallableInvocation) e.getCause()).asBlock());
        }
    }
}

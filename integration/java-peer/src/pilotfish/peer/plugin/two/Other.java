package pilotfish.peer.plugin.two;

import java.io.IOException;
import jenkins.security.MasterToSlaveCallable;
import pilotfish.peer.plugin.one.Work;

/** A plugin that depends on the first one, which knows nothing of it. */
public final class Other {
    private Other() {}

    /** Answers who loads which class, and whether the first plugin's loader finds this one's. */
    public static final class Look extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public String call() {
            ClassLoader one = Work.Point.class.getClassLoader();
            String found;
            try {
                found = Class.forName(Hidden.class.getName(), false, one).getName();
            } catch (ClassNotFoundException e) {
                found = "hidden";
            }
            return (one == getClass().getClassLoader() ? "one loader" : "two loaders") + ", " + found;
        }
    }

    private static final class Hidden {}
}

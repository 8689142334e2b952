package jenkins;

import hudson.FilePath;
import org.jenkinsci.remoting.RoleChecker;

/** A computation on a file of the agent (agent-callables 2.1). */
public abstract class MasterToSlaveFileCallable<T> implements FilePath.FileCallable<T> {
    private static final long serialVersionUID = 1L;

    @Override
    public void checkRoles(RoleChecker checker) {}
}

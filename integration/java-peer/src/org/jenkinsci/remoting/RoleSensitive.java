package org.jenkinsci.remoting;

/** Says on which side a callable may run; part of the public contract of callables. */
public interface RoleSensitive {
    void checkRoles(RoleChecker checker) throws SecurityException;
}

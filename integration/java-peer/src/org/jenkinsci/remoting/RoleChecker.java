package org.jenkinsci.remoting;

/** Given to {@link RoleSensitive#checkRoles}; this peer checks directions by class instead. */
public abstract class RoleChecker {}

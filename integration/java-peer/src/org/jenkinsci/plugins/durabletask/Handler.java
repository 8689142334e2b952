package org.jenkinsci.plugins.durabletask;

import java.io.InputStream;
import java.io.Serializable;

/** Told of a durable task's output and end (agent-callables 3.2). */
public abstract class Handler implements Serializable {
    private static final long serialVersionUID = 7125658611104808824L;

    public abstract void output(InputStream stream) throws Exception;

    public abstract void exited(int code, byte[] output) throws Exception;
}

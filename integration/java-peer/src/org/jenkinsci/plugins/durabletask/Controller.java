package org.jenkinsci.plugins.durabletask;

import java.io.Serializable;

/** Controls one durable task. */
public abstract class Controller implements Serializable {
    private static final long serialVersionUID = 1L;
}

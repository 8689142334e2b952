package hudson.model;

import java.io.OutputStream;
import java.io.Serializable;

/** Where a build's log goes (agent-callables 2.3). */
public interface TaskListener extends Serializable {
    OutputStream log();
}

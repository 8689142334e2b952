package jenkins.tasks.filters;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/** Rules that filter a process's environment; none here. */
public final class EnvVarsFilterRuleWrapper implements Serializable {
    private static final long serialVersionUID = -8647970104978388598L;
    private final List<Serializable> rules = new ArrayList<>();
}

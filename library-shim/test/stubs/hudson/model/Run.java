package hudson.model;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A build. It cannot be stored, as the real one cannot be stored with a Pipeline. */
public class Run<J, R> {
    private final Item parent;
    private final int number;
    private final long started;
    public final ParametersAction parameters = new ParametersAction();
    /** As `hudson.EnvVars`: the case of a name does not count, and the name that was there first stays. */
    public final Map<String, String> environment = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);

    public Run(String job, int number, long started) {
        this.parent = new Item(job);
        this.number = number;
        this.started = started;
    }

    public Item getParent() {
        return parent;
    }

    public int getNumber() {
        return number;
    }

    public String getUrl() {
        return "job/" + parent.getFullName().replace("/", "/job/") + "/" + number + "/";
    }

    public long getStartTimeInMillis() {
        return started;
    }

    public <T> T getAction(Class<T> type) {
        return type == ParametersAction.class ? type.cast(parameters) : null;
    }

    public List<Cause> getCauses() {
        return List.of(new Cause.UserIdCause());
    }

    public Map<String, String> getEnvironment(TaskListener log) {
        return environment;
    }
}

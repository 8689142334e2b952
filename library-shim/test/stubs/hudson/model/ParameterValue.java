package hudson.model;

public class ParameterValue {
    private final String name;
    private final Object value;
    private final boolean sensitive;

    public ParameterValue(String name, Object value, boolean sensitive) {
        this.name = name;
        this.value = value;
        this.sensitive = sensitive;
    }

    public String getName() {
        return name;
    }

    public Object getValue() {
        return value;
    }

    public boolean isSensitive() {
        return sensitive;
    }
}

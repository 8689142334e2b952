package jenkins.model;

import hudson.model.ItemGroup;
import java.util.ArrayList;
import java.util.List;

public class Jenkins implements ItemGroup<Object> {
    private static final Jenkins ONE = new Jenkins();
    private final List<Object> properties = new ArrayList<>();

    public static Jenkins get() {
        return ONE;
    }

    public String getRootUrl() {
        return "https://ci.example.com/";
    }

    public List<Object> getGlobalNodeProperties() {
        return properties;
    }
}

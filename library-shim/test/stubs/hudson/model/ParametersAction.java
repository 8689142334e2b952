package hudson.model;

import java.util.ArrayList;
import java.util.List;

public class ParametersAction {
    private final List<ParameterValue> parameters = new ArrayList<>();

    public List<ParameterValue> getParameters() {
        return parameters;
    }
}

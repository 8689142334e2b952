package hudson.model;

public class RunParameterValue extends ParameterValue {
    private final String job;
    private final String number;

    public RunParameterValue(String name, String job, String number) {
        super(name, new Object(), false);
        this.job = job;
        this.number = number;
    }

    public String getJobName() {
        return job;
    }

    public String getNumber() {
        return number;
    }
}

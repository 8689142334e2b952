package hudson.model;

public class Item {
    private final String fullName;

    public Item(String fullName) {
        this.fullName = fullName;
    }

    public String getFullName() {
        return fullName;
    }
}

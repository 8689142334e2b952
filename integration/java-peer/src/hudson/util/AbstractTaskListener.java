package hudson.util;

import hudson.model.TaskListener;

/** Base of listeners that travel. */
public abstract class AbstractTaskListener implements TaskListener {
    private static final long serialVersionUID = 7217626701881006422L;
}

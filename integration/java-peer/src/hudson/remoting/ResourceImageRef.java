package hudson.remoting;

import java.io.Serializable;

/** Where the bytes of a class or resource are. */
public abstract class ResourceImageRef implements Serializable {
    private static final long serialVersionUID = 1;
}

package hudson.security;

import org.acegisecurity.Authentication;

public class ACL {
    public static final Authentication SYSTEM = new Authentication() {};
}

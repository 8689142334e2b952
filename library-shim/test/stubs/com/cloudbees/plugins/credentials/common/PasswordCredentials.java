package com.cloudbees.plugins.credentials.common;

import hudson.util.Secret;

public interface PasswordCredentials {
    Secret getPassword();
}

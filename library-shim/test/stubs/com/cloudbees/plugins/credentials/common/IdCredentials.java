package com.cloudbees.plugins.credentials.common;

public interface IdCredentials {
    String getId();
}

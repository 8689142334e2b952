package org.jenkinsci.plugins.durabletask;

import hudson.remoting.VirtualChannel;
import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.nio.file.Files;
import jenkins.MasterToSlaveFileCallable;

/** What an agent can run and cache (agent-callables 3.1). */
public final class AgentInfo implements Serializable {
    private static final long serialVersionUID = 7599995179651071957L;
    public final OsType os;
    public final String architecture;
    public final String binaryPath;
    public final boolean binaryCompatible;
    public final boolean binaryCached;
    public final boolean cachingAvailable;

    /** Kinds of systems. */
    public enum OsType {
        DARWIN,
        LINUX,
        WINDOWS,
        FREEBSD,
        ZOS,
        UNKNOWN
    }

    AgentInfo(OsType os, String architecture, String binaryPath) {
        this.os = os;
        this.architecture = architecture;
        this.binaryPath = binaryPath;
        binaryCompatible = true;
        cachingAvailable = true;
        binaryCached = new File(binaryPath).exists();
    }

    /** Asked of the node's root directory. */
    public static final class GetAgentInfo extends MasterToSlaveFileCallable<AgentInfo> {
        private static final long serialVersionUID = 1L;
        private final String binaryVersion;

        public GetAgentInfo(String binaryVersion) {
            this.binaryVersion = binaryVersion;
        }

        @Override
        public AgentInfo invoke(File root, VirtualChannel channel) throws IOException {
            File cache = new File(root, "caches/durable-task");
            Files.createDirectories(cache.toPath());
            return new AgentInfo(OsType.LINUX, "64", new File(cache, "durable_task_monitor_" + binaryVersion + "_linux_64").getPath());
        }
    }
}

package org.jenkinsci.plugins.durabletask;

/** Home of the controller of {@code sh}. */
public final class BourneShellScript {
    private BourneShellScript() {}

    /** Controls a shell script. */
    public static final class ShellController extends FileMonitoringTask.FileMonitoringController {
        private static final long serialVersionUID = 1L;
        private final boolean isZos = false;
        private String jenkinsResultTxtEncoding;

        public ShellController(String controlDir, String id, String cookieValue) {
            super(controlDir, id, cookieValue);
        }
    }
}

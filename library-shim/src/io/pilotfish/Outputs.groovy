// Outputs of stages: what steps wrote for later stages. The rules are those of a run without Jenkins
// (`plan/outputs/value.rs` of the bridge). Values are data: they reach later steps in variables only.
package io.pilotfish

import com.cloudbees.groovy.cps.NonCPS
import com.cloudbees.plugins.credentials.CredentialsProvider
import com.cloudbees.plugins.credentials.common.IdCredentials
import com.cloudbees.plugins.credentials.common.PasswordCredentials
import groovy.transform.CompileStatic
import hudson.model.Run
import hudson.util.Secret
import java.util.regex.Pattern
import org.jenkinsci.plugins.plaincredentials.StringCredentials

class Outputs {
    static final int VALUE_BYTES = 1024
    static final int FILE_BYTES = 64 * 1024
    static final int COMPLAINTS = 5
    /** How often a pattern may look at a character of a value; what goes back and forth for longer matches nothing. */
    static final int LOOKS = 1_000_000
    /** Shorter secrets are not looked for: every value would have one. */
    static final int SHORTEST_SECRET = 4
    /** The step that reads the file, one byte more than it may have, and nothing but a file. */
    static final Map READ = [label: 'outputs', returnStdout: true, encoding: 'UTF-8', script: '{ set -eu +x; } 2> /dev/null\n' +
        "if [ -f outputs ] && [ ! -h outputs ]; then head -c ${FILE_BYTES + 1} outputs; fi".toString()]

    /** Where the next try of a stage writes its outputs: nothing is there yet. */
    @NonCPS
    static String begin(Map run, Map stage) {
        run.outputs.remove(stage.id)
        run.tries++
        return run.places[stage.id] = "${run.own}/facts/outputs/${stage.id.replaceAll('[^A-Za-z0-9._-]', '_')}-${run.tries}".toString()
    }

    /** Takes what the steps of a stage wrote, and gives how that went. A stage that ended well must have written it all. */
    @NonCPS
    static List take(Run build, Map run, Map stage, boolean complete, List read) {
        if (read[0] != 'read') return [read[0] == 'timeout' ? 'failure' : read[0], "its outputs cannot be read: ${read[1]}".toString()]
        String text = read[1] ?: ''
        if (text.getBytes('UTF-8').length > FILE_BYTES) {
            return ['failure', "PILOTFISH_OUTPUTS has over ${FILE_BYTES} bytes: outputs are short, files go to `archive`".toString()]
        }
        Map all = [:]
        List wrong = []
        text.split('\n', -1).eachWithIndex { String line, int index ->
            int at = line.indexOf('=')
            String name = line.substring(0, Math.max(at, 0))
            if (at >= 0 && stage.outputs.containsKey(name)) all[name] = line.substring(at + 1)
            else if (name ==~ '[a-z][a-z0-9_]{0,62}') wrong << "it declares no output `${name}`"
            else if (line) wrong << "line ${index + 1} of PILOTFISH_OUTPUTS is no NAME=value"
        }
        wrong.addAll(all.collect { name, value -> fault(name, value, stage.outputs[name].pattern) }.findAll { it })
        if (complete && !wrong) stage.outputs.each { name, one ->
            if (!one.optional && !all.containsKey(name)) wrong << "it did not write its output `${name}`"
        }
        String secret = wrong ? null : secretIn(build, stage, all)
        if (secret) wrong << "`${secret}` has the value of a credential in it: outputs are shown to everybody"
        if (wrong.size() > COMPLAINTS) wrong = wrong.take(COMPLAINTS) + "and ${wrong.size() - COMPLAINTS} more"
        if (wrong) return ['failure', wrong.join('; ')]
        run.outputs[stage.id] = all
        return ['success', '']
    }

    /** Why a stage cannot have the outputs that it takes; nothing where it can. */
    @NonCPS
    static String lacking(Map run, Map stage) {
        return (stage.inputs ?: [:]).findResult { variable, one ->
            String value = run.outputs[one.stage]?.get(one.output), whose = "the output `${one.output}` of `${one.stage}`"
            if (value == null && !one.required) return null
            if (value == null) {
                String how = run.results[one.stage] ?: 'did not run'
                return "${variable} takes the output `${one.output}` of the stage `${one.stage}`, which gave none (${how})".toString()
            }
            if (value.startsWith('-') && !one.dashes) return "${variable} takes no value that starts with `-`, as ${whose} does".toString()
            String why = fault(variable, value, one.pattern)
            return why ? "${whose} is refused: ${why}".toString() : null
        }
    }

    /** The variables of a stage that have to do with outputs. */
    @NonCPS
    static Map variables(Map run, Map stage) {
        Map all = stage.outputs ? [PILOTFISH_OUTPUTS: run.places[stage.id] + '/outputs'] : [:]
        stage.inputs?.each { variable, one ->
            String value = run.outputs[one.stage]?.get(one.output)
            if (value != null) all[variable] = value
        }
        return all
    }

    @NonCPS
    static String fault(String name, String value, String pattern) {
        if (value.getBytes('UTF-8').length > VALUE_BYTES) return "`${name}` has over ${VALUE_BYTES} bytes"
        if (value =~ '[\\x00-\\x1f\\x7f-\\x9f\\x{fffd}]') return "`${name}` has a control character, or is not UTF-8"
        return !pattern || matches(pattern, value) ? null : "`${name}` does not match `${pattern}`"
    }

    @NonCPS @CompileStatic
    static boolean matches(String pattern, String value) {
        try {
            return Pattern.compile(pattern).matcher(new Watched(value)).matches()
        } catch (RuntimeException | StackOverflowError e) {
            return false
        }
    }

    /** The name of an output with the value of a credential of the stage in it. */
    @NonCPS
    static String secretIn(Run build, Map stage, Map all) {
        List secrets = (stage.credentials ?: []).collect {
            def found = CredentialsProvider.findCredentialById(it.id, IdCredentials, build)
            Secret secret = found instanceof StringCredentials ? found.secret : found instanceof PasswordCredentials ? found.password : null
            return secret?.plainText?.trim()
        }.findAll { it && it.size() >= SHORTEST_SECRET }
        return all.find { name, value -> secrets.any { value.contains(it) } }?.key
    }

    /** A text that is not looked at for ever. */
    static class Watched implements CharSequence {
        final String text
        int left = LOOKS

        Watched(String text) { this.text = text }

        @NonCPS @CompileStatic
        char charAt(int at) {
            if (--left < 0) throw new IllegalStateException('the pattern takes too long')
            return text.charAt(at)
        }

        @NonCPS @CompileStatic
        int length() { return text.length() }

        @NonCPS @CompileStatic
        CharSequence subSequence(int from, int to) { return text.substring(from, to) }

        @NonCPS @CompileStatic
        String toString() { return text }
    }
}

// What can be said of a plan and of its run without a step.
package io.pilotfish

import com.cloudbees.groovy.cps.NonCPS
import hudson.model.Run
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException

class Plans {
    static final String STOPPED = 'the build was stopped'

    /** The next of those that wait; none where there is none. In one go: branches take turns at any place. */
    @NonCPS
    static Map taken(List waiting) { return waiting ? waiting.remove(0) : null }

    /** All nodes, also those inside of others and after the stages. */
    @NonCPS
    static List nodes(Map plan) {
        List all = []
        Closure walk
        walk = { Map node -> all << node; node.nodes?.each(walk) }
        plan.stages.each(walk)
        plan.post?.values()?.each { it.each(walk) }
        return all
    }

    /** The outcome of several together. What was skipped does not count, unless all was. */
    @NonCPS
    static String worst(List all) {
        return ['failure', 'aborted', 'unstable', 'success'].find { it in all } ?: all ? 'skipped' : 'success'
    }

    /** The steps of plugins that stages use, each with what it means to go without; nothing where that cannot be. */
    @NonCPS
    static Map used(List stages, String label) {
        Map all = [:]
        if (stages.any { it.approval }) all.input = ''
        if (stages.any { it.credentials }) all.withCredentials = ''
        if (stages.any { it.lock }) all.lock = 'locks are those of the bridge only'
        if (stages.any { it.reports?.junit }) all.junit = 'test reports are not shown'
        if (!label && stages.any { it.containers }) all.podTemplate = 'steps run on an agent, with its tools'
        return all
    }

    /** What the build knows by now, as conditions see it: outcomes, and outputs where the plan asks for some. */
    @NonCPS
    static Map facts(Map run) {
        Map all = [:]
        nodes(run.plan).each { all[it.name] = 'pending' }
        Map facts = [results: all + run.results]
        return run.plan.needs.any { it.startsWith('outputs') } ? facts + [outputs: run.outputs] : facts
    }

    /** Puts an event in the line of those to be sent. */
    @NonCPS
    static void queue(Map run, Map event) {
        run.events.add(event + [sequence: run.sequence++, at_ms: System.currentTimeMillis()])
    }

    /** The end of a node, as an event. */
    @NonCPS
    static void finished(Map run, Map node, List end) {
        Map event = [type: 'stage-finished', node: node.id, outcome: end[0] == 'timeout' ? 'failure' : end[0]]
        if (node.id == node.name) run.results[node.id] = event.outcome
        if (end[1]) event.message = end[1].toString().take(2000)
        if (run.tests[node.id]) event.tests = run.tests.remove(node.id)
        if (run.outputs[node.id]) event.outputs = run.outputs[node.id]
        queue(run, event)
    }

    /** A node that does not run, with all that is in it. */
    @NonCPS
    static void skipped(Map run, Map node, String reason) {
        if (node.id == node.name) run.results[node.id] = 'skipped'
        queue(run, [type: 'stage-finished', node: node.id, outcome: 'skipped', message: reason.take(2000)])
        node.nodes?.each { skipped(run, it, "`${node.title}` was skipped".toString()) }
    }

    /** How a body ended that threw. */
    @NonCPS
    static List ending(Map run, Exception e) {
        if (!(e instanceof FlowInterruptedException)) return ['failure', e.message ?: e.toString()]
        List causes = e.causes.collect { it.class.simpleName }
        if ('ExceededTimeout' in causes) {
            if (!run.deadline || System.currentTimeMillis() < run.deadline) return ['timeout', 'its time is over']
            run.stopped = "the time of the pipeline, ${run.plan.timeout_seconds} s, is over".toString()
            return ['failure', run.stopped]
        }
        if (!('FailFastCause' in causes) && !('Rejection' in causes)) run.stopped = STOPPED
        return ['aborted', e.causes.collect { it.shortDescription }.join(', ') ?: 'stopped']
    }

    /** The decision about one node. */
    @NonCPS
    static Map decisionOf(List decisions, String id) { return decisions.find { it.id == id }?.decision }

    /** The lines of a file that have text. */
    @NonCPS
    static List lines(String text) { return text.readLines().findAll { it } }

    /** The files of a stage with long values of parameters, as `writeFile` takes them. */
    @NonCPS
    static List files(Map run, Map stage) {
        return new TreeMap(stage.files ?: [:]).collect { name, text -> [file: filePath(run, stage, name), text: text, encoding: 'UTF-8'] }
    }

    /** Files to keep with the build, with commas between them. */
    @NonCPS
    static String kept(Map reports) {
        return ((reports.archive ?: []) + (reports.coverage ?: []).collect { it.path }).join(',')
    }

    /** Seconds of a time such as `1h30m`. */
    @NonCPS
    static int span(String text) {
        return (text ?: '').findAll(/\d+[smhd]/).sum(0) { it[0..-2].toInteger() * [s: 1, m: 60, h: 3600, d: 86400][it[-1]] }
    }

    /** Seconds before another try: doubled each time, ten minutes at most. */
    @NonCPS
    static int delay(String first, int tries) { return Math.min(600L, ((long) span(first)) << Math.min(16, tries - 1)) }

    /** Keeps what the step `junit` gives, and says whether all tests passed. */
    @NonCPS
    static List tests(Map run, Map stage, def found) {
        List counts = [found.passCount, found.failCount, found.skipCount]
        if (counts.sum()) run.tests[stage.id] = [passed: counts[0], failed: counts[1], skipped: counts[2]]
        return counts[1] > 0 ? ['unstable', "${counts[1]} test(s) failed".toString()] : ['success', '']
    }

    /** Where a long value of a parameter is a file. */
    @NonCPS
    static String filePath(Map run, Map stage, String variable) {
        return "${run.own}/files/${stage.id.replaceAll('[^A-Za-z0-9._-]', '_')}/${variable}.txt"
    }

    /** The environment and the text of a step. Values are data: they are in the environment only. */
    @NonCPS
    static Map prepared(Map run, Map stage, Map step) {
        Map plan = run.plan
        Map container = (stage.containers ?: []).find { it.name == step.container } ?: [:]
        Map all = new TreeMap(stage.environment ?: [:])
        stage.files?.keySet()?.each { all[it] = filePath(run, stage, it) }
        String place = run.pod ? run.containers[stage.id + '/' + step.container] : null
        all.putAll([PIPELINE: plan.pipeline, BUILD: run.build, STAGE: stage.id, PLAN: run.digest, WORKSPACE: run.dir, START: run.dir,
            FACTS: run.own + '/facts', RESULT: worst(run.results.values() as List).replace('skipped', 'success'),
            BRANCH: plan.facts.branch, TAG: plan.facts.tag, PULL_REQUEST: plan.facts.pull_request]
            .collectEntries { name, value -> ["PILOTFISH_${name}".toString(), value ?: ''] })
        all.putAll(Outputs.variables(run, stage))
        container.environment?.each { name, value ->
            // Without its container, a step keeps its caches beside the workspace.
            Map cache = run.pod ? null : container.caches?.find { value == it.path || value.startsWith(it.path + '/') }
            all[name] = cache ? "${run.own}/caches/${cache.name}${value.substring(cache.path.size())}".toString() : value
        }
        all.putAll(step.environment ?: [:])
        // The agent sends what has this to the container itself, without the exec API of Kubernetes.
        if (run.sockets && place) all.PILOTFISH_CONTAINER = place
        if (!all.keySet().every { it ==~ /[A-Za-z_][A-Za-z0-9_]*/ }) {
            throw new IllegalArgumentException('the plan has a variable whose name no shell takes')
        }
        // `withEnv` takes away variables without text (`hudson.EnvVars.override`).
        String empty = all.findAll { it.value == '' }.collect { "export ${it.key}=\n" }.join('')
        // Jenkins keeps the name that was there first where two differ in case only: `TEXT` is set as the parameter `text`.
        List secrets = (stage.credentials ?: []).findAll { !it.optional }.collectMany { [it.variable, it.username_variable] }
        Map taken = (run.names ?: []).collectEntries { [it.toLowerCase(), it] }
        empty += (all.findAll { it.value != '' }.keySet() + secrets.findAll()).findAll { taken[it.toLowerCase()] && taken[it.toLowerCase()] != it }
            .collect { "export ${it}=\"\$${taken[it.toLowerCase()]}\"\n" }.join('')
        String start = step.shell == 'bash' ? '#!/usr/bin/env bash\nset -eu -o pipefail\n' : '{ set -eu +x; } 2> /dev/null\n'
        return [environment: all.findAll { it.value != '' }.collect { "${it.key}=${it.value}".toString() },
            text: start + empty + step.script, container: run.sockets ? null : place]
    }

    /** What `withCredentials` takes. An optional credential that is not there is left out. */
    @NonCPS
    static List bindings(Run build, Map stage) {
        Map classes = ['secret-text': 'StringBinding', 'username-password': 'UsernamePasswordMultiBinding',
            'file': 'FileBinding', 'ssh-key': 'SSHUserPrivateKeyBinding']
        Map variables = ['username-password': 'passwordVariable', 'ssh-key': 'keyFileVariable']
        return (stage.credentials ?: []).findAll { !it.optional || Bridge.isThere(build, it.id) }.collect {
            Map one = [$class: classes[it.type], credentialsId: it.id]
            one[variables[it.type] ?: 'variable'] = it.variable
            if (it.username_variable || it.type == 'username-password') {
                one.usernameVariable = it.username_variable ?: "${it.variable}_USER".toString()
            }
            return one
        }
    }

    /** The stages, for people. */
    @NonCPS
    static String overview(Map plan, String digest, List unused, List notes) {
        List text = ["Pilotfish: pipeline ${plan.pipeline} ${plan.version}, rule ${plan.rule ?: '-'}, plan ${digest}"]
        Closure show
        show = { Map node, String indent ->
            String state = node.decision.state == 'skipped' ? ': skipped, ' : ': '
            text << indent + node.title + (node.decision.reason == 'always runs' ? '' : state + node.decision.reason)
            node.nodes?.each { show(it, indent + '  ') }
        }
        plan.stages.each { show(it, '  ') }
        plan.post?.each { when, some -> some.each { show(it, "  ${when}: ") } }
        if (unused) text << "  not used from the job: ${unused.join(', ')}"
        return (text + notes.collect { "  note: ${it}" }).join('\n')
    }
}

// Runs a build by a plan that the bridge makes of the build's parameters. See ../README.md.
// Everything that decides is in the bridge; this file does what the plan says, with ordinary Pipeline steps. A build
// may be stored at any step, and goes on from there after a restart of the controller, so what is kept between steps is
// text, numbers, lists and maps only. Whatever needs more is in classes beside this file, in methods that take no step.
// Loops count, because iterators cannot be stored everywhere. An outcome is a pair: `success`, `unstable`, `failure`,
// `timeout`, `aborted` or `skipped`, and the reason for people.
import groovy.transform.Field
import io.pilotfish.*
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException

@Field static final List<Integer> PAUSES = [2, 5, 15, 30, 60] // seconds between tries
@Field static final int POST_SECONDS = 600 // for post steps, as in a run without Jenkins

/** The step. Options: `label` of an agent; all others override the plan, by path. */
def call(Map options = [:]) {
    Map run = begin(options)
    if (run.problem) error("${run.problem}\nNothing was run.")
    echo(run.remove('overview'))
    String outcome = 'failure'
    try {
        if (!run.pod) node(run.label) { outcome = whole(run) }
        else podTemplate(yaml: run.pod) {
            Closure build = { node(env.POD_LABEL) { run.here = true; outcome = whole(run) } }
            if (run.sockets) parallel('pod start': { watched(run) }, build: build, failFast: true) else build()
        }
    } catch (FlowInterruptedException e) {
        outcome = 'aborted'
        throw e
    } finally {
        report(run, [type: 'build-finished', outcome: outcome])
        for (int i = 0; i < 2 && run.events; i++) {
            sleep(time: PAUSES[i], unit: 'SECONDS')
            run.silent_until = 0
            deliver(run)
        }
        if (run.events) echo('note: the bridge was away at the end, and does not know how this build ended')
    }
    if (outcome != 'success') currentBuild.result = outcome.toUpperCase()
}

/** What is kept of the answer of the bridge. The answer itself has a token, and is not stored. */
Map begin(Map options) {
    ask([:], 'claim', [:]) // of a build that several masters were given, one runs
    Map answer = ask([:], 'plan', Bridge.question(options))
    return Bridge.accepted(currentBuild.rawBuild, answer, options)
}

/** Until the agent is there: a pod that the bridge sees fail ends the wait, in the words of the cluster. */
def watched(Map run) {
    while (!run.here) {
        sleep(time: PAUSES[1], unit: 'SECONDS')
        String words = run.here ? null : Bridge.notStarted(currentBuild.rawBuild, run)
        if (words) error("the pod of this build does not start: ${words}")
    }
}

/** The stages, then those of `post`. */
String whole(Map run) {
    Map plan = run.plan
    run.dir = pwd()
    run.own = "${pwd(tmp: true)}/pilotfish".toString()
    dir("${run.own}/facts") { deleteDir() }
    writeFile(file: "${run.own}/facts/README", text: 'Stages leave facts about the build here.\n')
    int seconds = plan.timeout_seconds ?: 0
    if (seconds) run.deadline = System.currentTimeMillis() + seconds * 1000L
    List end = tried(run) { return within(seconds) { return sequence(run, plan.stages) } }
    String outcome = end[0]
    if (run.stopped) outcome = outcome == 'failure' || run.stopped != Plans.STOPPED ? 'failure' : 'aborted'
    run.putAll([deadline: 0L, stopped: null]) // what comes after a stop is not stopped by it
    List when = ['success', 'aborted', 'failure', 'always']
    String now = ['success', 'unstable', 'skipped'].contains(outcome) ? 'success' : outcome
    for (int i = 0; i < when.size(); i++) {
        List nodes = plan.post ? plan.post[when[i]] ?: [] : []
        if (when[i] == now || when[i] == 'always') {
            List after = tried(run) { return sequence(run, nodes) }
            if (after[0] == 'failure' && outcome != 'aborted') outcome = 'failure'
        } else for (int j = 0; j < nodes.size(); j++) Plans.skipped(run, nodes[j], "only runs after ${when[i]}".toString())
    }
    return outcome == 'skipped' ? 'success' : outcome
}

/** Nodes one after the other. After a failure only those that say so are run. */
List sequence(Map run, List nodes) {
    List all = []
    for (int i = 0; i < nodes.size(); i++) {
        boolean failed = all.contains('failure') || all.contains('aborted')
        all.add(execute(run, nodes[i], failed))
    }
    return [Plans.worst(all), '']
}

/** Branches at the same time; where only some may be, each lane takes the next that waits. */
List branches(Map run, Map group) {
    List waiting = new ArrayList(group.nodes)
    List all = []
    int lanes = Math.min(group.max_parallel ?: waiting.size(), waiting.size())
    Map bodies = [:]
    for (int i = 0; i < lanes; i++) {
        String name = lanes < group.nodes.size() ? "${group.title} ${i + 1}" : group.nodes[i].title
        if (bodies.containsKey(name) || name == 'failFast') name = group.nodes[i].id
        bodies[name] = lane(run, group, lanes < group.nodes.size() ? waiting : [group.nodes[i]], all)
    }
    if (group.fail_fast) bodies.failFast = true
    List end = tried(run) { parallel(bodies) }
    if (end[0] != 'success') all.add(end[0])
    return [Plans.worst(all), '']
}

Closure lane(Map run, Map group, List waiting, List all) {
    return {
        for (Map next = Plans.taken(waiting); next != null; next = Plans.taken(waiting)) {
            if (group.fail_fast && all.contains('failure')) {
                skip(run, next, 'not started: another branch failed')
            } else {
                String outcome = execute(run, next, false)
                all.add(outcome)
                if (group.fail_fast && outcome == 'failure') error("${next.title} failed: the other branches are stopped")
            }
        }
    }
}

/** Runs a stage or a group if it is to run; gives its outcome and never throws. */
String execute(Map run, Map node, boolean failed) {
    Map decision = node.decision
    if (decision.state == 'skipped') return skip(run, node, decision.reason)
    if (run.stopped) return skip(run, node, "not started: ${run.stopped}")
    if (failed && !node.after_failure) return skip(run, node, 'not started: an earlier stage failed')
    List end = ['success', '']
    if (decision.state == 'deferred') {
        end = tried(run) { decision = decided(run, node) }
        if (decision.state == 'skipped') return skip(run, node, decision.reason)
        if (decision.state == 'deferred' && end[0] == 'success') end = ['failure', "cannot be decided: ${decision.reason}"]
    }
    report(run, [type: 'stage-started', node: node.id])
    List before = end
    end = tried(run) { return stage(node.title) { return inside(run, node, before) } }
    Plans.finished(run, node, end)
    deliver(run)
    return end[0] == 'timeout' ? 'failure' : end[0]
}

/** What stands in a stage or a group; `end` is how it ended where it did before it began. */
List inside(Map run, Map node, List end) {
    if (end[0] == 'success' && node.type == 'stage') end = oneStage(run, node)
    else if (end[0] == 'success') end = node.type == 'parallel' ? branches(run, node) : sequence(run, node.nodes)
    if (end[0] == 'timeout') end = ['failure', end[1]]
    if (end[0] == 'failure' && node.allow_failure) end = ['unstable', "${end[1]} (allowed to fail)"]
    if (node.type == 'stage') mark(end)
    return end
}

/** Shows the outcome of a stage in the views of the build. */
def mark(List end) {
    if (end[0] == 'unstable') unstable(end[1])
    if (end[0] == 'failure') catchError(buildResult: 'FAILURE', stageResult: 'FAILURE') { error(end[1]) }
    if (end[0] == 'aborted') catchError(buildResult: 'SUCCESS', stageResult: 'ABORTED') { error(end[1]) }
}

String skip(Map run, Map node, String reason) {
    echo("Stage “${node.title}” is skipped: ${reason}")
    Plans.skipped(run, node, reason)
    deliver(run)
    return 'skipped'
}

/** Consent, lock, credentials, tries, reports. */
List oneStage(Map run, Map stage) {
    if (stage.approval) {
        Map ask = [message: stage.approval.message, id: 'pilotfish-' + stage.id.replaceAll('[^A-Za-z0-9]', '-')]
        if (stage.approval.approvers) ask.submitter = stage.approval.approvers.join(',')
        List consent = tried(run) { within(Plans.span(stage.approval.timeout)) { input(ask) } }
        if (consent[0] == 'timeout') return ['aborted', "nobody answered in ${stage.approval.timeout}"]
        if (consent[0] != 'success') return consent
    }
    if (Outputs.lacking(run, stage)) return ['failure', Outputs.lacking(run, stage)]
    List secrets = Plans.bindings(currentBuild.rawBuild, stage)
    Closure work = { return secrets ? withCredentials(secrets) { return tries(run, stage) } : tries(run, stage) }
    List end = tried(run) { return Leases.holding(this, run, stage, work) }
    Map reports = stage.reports ?: [:]
    if (reports.junit && run.has.junit) {
        List read = tried(run) { return Plans.tests(run, stage, junit(testResults: reports.junit.join(','), allowEmptyResults: true)) }
        if (read[0] == 'failure') read[1] = "its test reports cannot be read: ${read[1]}".toString()
        if (end[0] == 'success' && read[0] != 'success') end = ['unstable', read[1]]
    }
    if (Plans.kept(reports)) tried(run) { archiveArtifacts(artifacts: Plans.kept(reports), allowEmptyArchive: true) }
    return end
}

List tries(Map run, Map stage) {
    List files = Plans.files(run, stage)
    for (int i = 0; i < files.size(); i++) writeFile(files[i])
    if (!stage.retry) return attempt(run, stage)
    int count = 0
    List end = ['failure', '']
    List last = tried(run) {
        retry(stage.retry.attempts) {
            if (count > 0 && stage.retry.delay) sleep(time: Plans.delay(stage.retry.delay, count), unit: 'SECONDS')
            count = count + 1
            end = attempt(run, stage)
            boolean fits = !stage.retry.on || stage.retry.on.contains(end[0])
            if (fits && ['failure', 'timeout'].contains(end[0]) && !run.stopped) error(end[1])
        }
    }
    return last[0] == 'aborted' ? last : end
}

/** One try: the steps within their time, then the post steps. */
List attempt(Map run, Map stage) {
    int seconds = stage.timeout_seconds ?: 0
    if (stage.outputs) writeFile(file: "${Outputs.begin(run, stage)}/README", text: 'The stage leaves its outputs here.\n')
    List end = tried(run) { return within(seconds) { return steps(run, stage, stage.steps) } }
    if (end[0] == 'timeout') end = ['timeout', "its time of ${seconds} s is over".toString()]
    Map post = stage.post ?: [:]
    List lists = [post[end[0] == 'timeout' ? 'failure' : end[0]], post.always]
    for (int i = 0; i < lists.size(); i++) {
        List some = lists[i] ?: []
        List after = tried(run) { return within(some ? POST_SECONDS : 0) { return steps(run, stage, some) } }
        if (after[0] != 'success' && end[0] == 'success') end = ['failure', "after the steps, ${after[1]}"]
    }
    return stage.outputs ? given(run, stage, end) : end
}

/** The end of a try, once what its steps gave to later stages is read. */
List given(Map run, Map stage, List end) {
    List read = tried(run) { return ['read', dir(run.places[stage.id]) { return within(POST_SECONDS) { return sh(Outputs.READ) } }] }
    read = Outputs.take(currentBuild.rawBuild, run, stage, end[0] == 'success', read)
    return end[0] == 'success' ? read : end
}

List steps(Map run, Map stage, List steps) {
    for (int i = 0; i < (steps ?: []).size(); i++) {
        Map step = steps[i]
        Map script = Plans.prepared(run, stage, step)
        int seconds = step.timeout_seconds ?: 0
        long limit = System.currentTimeMillis() + seconds * 1000L
        List end = tried(run) {
            withEnv(script.environment) {
                Closure work = { within(seconds) { sh(script: script.text, label: step.name) } }
                if (script.container) container(script.container) { work() } else work()
            }
        }
        if (end[0] == 'timeout' && seconds && System.currentTimeMillis() >= limit) end = ['failure', "its time of ${seconds} s is over"]
        if (end[0] != 'success') return [end[0], "${step.name}: ${end[1]}".toString()]
    }
    return ['success', '']
}

/** A body with so many seconds; with 0 it has all the time. */
def within(int seconds, Closure body) {
    return seconds ? timeout(time: seconds, unit: 'SECONDS') { return body() } : body()
}

/** Runs a body; gives how it ended, which is what it gives itself if that is a list. It never throws. */
List tried(Map run, Closure body) {
    try {
        def end = body()
        return end instanceof List ? end : ['success', '']
    } catch (Exception e) {
        return Plans.ending(run, e)
    }
}

/** What the bridge says now about a node that was to be decided at run time. */
Map decided(Map run, Map node) {
    Map facts = Plans.facts(run)
    String file = "${run.own}/facts/changed-files"
    if (run.plan.needs.contains('changed_files') && fileExists(file)) {
        facts.changed_files = Plans.lines(readFile(file: file, encoding: 'UTF-8'))
    }
    return Plans.decisionOf(ask(run, 'evaluate', facts).json.decisions, node.id) ?: node.decision
}

/** Asks the bridge, several times where it is away. No pipeline thread is held while it waits. */
Map ask(Map run, String what, Map body) {
    Map answer = [:]
    for (int i = 0; i <= PAUSES.size(); i++) {
        answer = Bridge.exchange(currentBuild.rawBuild, run, what, body)
        if (!answer.again || i == PAUSES.size()) break
        echo("Pilotfish: ${answer.problem}. Try ${i + 2} of ${PAUSES.size() + 1} comes in ${PAUSES[i]} s.")
        sleep(time: PAUSES[i], unit: 'SECONDS')
    }
    if (answer.lost) currentBuild.result = 'NOT_BUILT'
    if (answer.problem) error("Pilotfish: ${answer.problem}${answer.again ? Bridge.AWAY : ''}")
    return answer
}

/** Tells the bridge what happened; a bridge that is away does not hold the build. */
def report(Map run, Map event) {
    Plans.queue(run, event)
    deliver(run)
}

def deliver(Map run) {
    String trouble = Bridge.sent(currentBuild.rawBuild, run)
    if (trouble) echo("note: ${trouble}; the build goes on, and reports later")
}

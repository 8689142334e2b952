// What builds have of the bridge over all controllers: locks of stages, and milestones.
package io.pilotfish

import com.cloudbees.groovy.cps.NonCPS

class Leases {
    static final List<Integer> PAUSES = [2, 5, 15, 30, 60] // seconds between tries

    /** Has the body of a stage run past its milestone and with its lock. No pipeline thread is held while it waits. */
    static def holding(def steps, Map run, Map stage, Closure body) {
        String newer = stage.milestone ? newer(steps, run, stage) : null
        if (newer) {
            run.stopped = Plans.STOPPED
            return ['aborted', newer]
        }
        if (!stage.lock) return body()
        boolean asked = true
        try {
            Map trouble = lease(steps, run, stage)
            if (trouble) {
                asked = false
                String problem = refusal(run, stage, trouble)
                if (problem) steps.error(problem)
                steps.echo(note(run, stage, trouble))
            }
            // With the plugin's lock, too: pipelines that know nothing of the bridge use the same names.
            return run.has.lock ? steps.lock(resource: stage.lock) { return body() } : body()
        } finally {
            // Where this is lost, the end of the stage gives it back.
            if (asked) Bridge.exchange(steps.currentBuild.rawBuild, run, 'release', [stage: stage.id])
        }
    }

    /** Passes the milestone of a stage; gives why it may not where a newer build has passed it. */
    static String newer(def steps, Map run, Map stage) {
        Map answer = [:]
        for (int i = 0; i <= PAUSES.size(); i++) {
            answer = Bridge.exchange(steps.currentBuild.rawBuild, run, 'milestone', [stage: stage.id])
            if (!answer.again || i == PAUSES.size()) break
            steps.echo("Pilotfish: ${answer.problem}. It is asked again.")
            steps.sleep(time: PAUSES[i], unit: 'SECONDS')
        }
        if (answer.json) return answer.json.passed ? null : answer.json.reason
        if (answer.status != 404) steps.error("the milestone cannot be passed: ${answer.problem}")
        steps.echo('note: this bridge knows no milestones; nothing keeps older builds back')
        return null
    }

    /** Waits until the stage has its lock; gives the answer that keeps it from having one, if there is one. */
    static Map lease(def steps, Map run, Map stage) {
        String told = ''
        int tries = 0
        boolean another = false // was seen to have it: then nothing but the bridge can say that it is free
        while (true) {
            Map answer = Bridge.exchange(steps.currentBuild.rawBuild, run, 'lock', [stage: stage.id])
            if (answer.json?.state == 'held') return [:]
            another = answer.json ? answer.json.holder != null : another
            if (!answer.json && (!answer.again || tries >= PAUSES.size() && !another)) return answer
            String words = answer.json ? waits(answer.json) : "Pilotfish: ${answer.problem}. It is asked again."
            if (words != told) steps.echo(words)
            told = words
            int pause = answer.json ? answer.json.again_in_seconds ?: PAUSES[1] : PAUSES[Math.min(tries, PAUSES.size() - 1)]
            tries = answer.json ? 0 : tries + 1
            steps.sleep(time: pause, unit: 'SECONDS')
        }
    }

    /** Why it waits, with a link to the build that has the lock. */
    @NonCPS
    static String waits(Map answer) {
        String bridge = Bridge.settings().PILOTFISH_BRIDGE?.toString()?.replaceAll('/+$', '')
        return "Waits: ${answer.reason}" + (answer.holder ? " (${bridge}${answer.holder.page})" : '')
    }

    /** Why a stage cannot go on without the lease: nothing else keeps other builds out. */
    @NonCPS
    static String refusal(Map run, Map stage, Map trouble) {
        if (run.has.lock || trouble.status == 404) return null
        return "the lock ${stage.lock} cannot be had: ${trouble.problem}".toString()
    }

    /** What it means to go on without the lease. */
    @NonCPS
    static String note(Map run, Map stage, Map trouble) {
        String why = trouble.status == 404 ? 'this bridge knows no locks of stages' : trouble.problem
        String means = run.has.lock ? 'it is held on this controller only' : 'nothing keeps other builds out'
        return "note: the bridge does not give the lock ${stage.lock}: ${why}; ${means}".toString()
    }
}

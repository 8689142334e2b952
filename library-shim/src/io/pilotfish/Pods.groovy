// The pod of a plan, for the kubernetes plugin.
package io.pilotfish

import com.cloudbees.groovy.cps.NonCPS
import groovy.json.JsonOutput

class Pods {
    /**
     * The pod that the bridge rendered, where a profile tells it of the cluster: each container runs an exec
     * server, and the agent sends it the steps that name it. Else one of ours; none where no stage needs it.
     */
    @NonCPS
    static Map of(Map rendered, List stages) {
        if (rendered) return [yaml: JsonOutput.toJson(rendered.manifest), names: rendered.routes ?: [:], sockets: true]
        return stages.any { it.containers } ? podOf(stages) : [:]
    }

    /** Each container once, all of them on one workspace and one network. JSON is YAML. */
    @NonCPS
    static Map podOf(List stages) {
        Map specs = [:], names = [:], volumes = [:]
        stages.each { stage ->
            (stage.containers ?: []).each { specs = withContainer(specs, names, volumes, stage, it, true) }
            (stage.services ?: []).each { specs = withContainer(specs, names, volumes, stage, it, false) }
        }
        Map spec = [containers: specs.collect { name, one -> [name: name] + one }, volumes: volumes.values() as List]
        List hosts = stages.collectMany { it.services ?: [] }.collect { it.name }.unique()
        if (hosts) spec.hostAliases = [[ip: '127.0.0.1', hostnames: hosts]]
        return [yaml: JsonOutput.toJson([apiVersion: 'v1', kind: 'Pod', spec: spec]), names: names]
    }

    /** Adds a container; one of the same name that is not the same gets a number. */
    @NonCPS
    static Map withContainer(Map specs, Map names, Map volumes, Map stage, Map one, boolean waits) {
        Map spec = [image: one.image, resources: [requests: one.requests ?: [:], limits: one.limits ?: [:]]]
        if (waits) spec.putAll([command: ['sleep'], args: ['2147483']])
        else spec.env = (one.environment ?: [:]).collect { name, value -> [name: name, value: value] }
        if (one.caches) spec.volumeMounts = one.caches.collect {
            volumes[it.name] = [name: "cache-${it.name}".toString(), emptyDir: [:]]
            return [name: "cache-${it.name}".toString(), mountPath: it.path]
        }
        String name = one.name
        for (int i = 2; specs[name] && specs[name] != spec; i++) name = "${one.name}-${i}"
        names["${stage.id}/${one.name}".toString()] = name
        return specs + [(name): spec]
    }
}

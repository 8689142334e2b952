// Asks the bridge, and believes only what it signed for this very build.
package io.pilotfish

import com.cloudbees.groovy.cps.NonCPS
import com.cloudbees.plugins.credentials.CredentialsProvider
import com.cloudbees.plugins.credentials.common.IdCredentials
import com.cloudbees.plugins.credentials.domains.DomainRequirement
import groovy.json.JsonOutput
import groovy.json.JsonSlurperClassic
import groovy.transform.CompileStatic
import hudson.model.ParametersAction
import hudson.model.Run
import hudson.model.TaskListener
import hudson.security.ACL
import hudson.slaves.EnvironmentVariablesNodeProperty
import hudson.util.Secret
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.security.KeyFactory
import java.security.MessageDigest
import java.security.NoSuchAlgorithmException
import java.security.PublicKey
import java.security.Signature
import java.security.spec.InvalidKeySpecException
import java.security.spec.X509EncodedKeySpec
import java.time.Duration
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.function.Consumer
import jenkins.model.Jenkins
import org.jenkinsci.plugins.plaincredentials.StringCredentials
import org.jenkinsci.plugins.workflow.steps.StepDescriptor

class Bridge {
    static final String PLAN = 'application/vnd.pilotfish.signed-plan.v1+json'
    static final String EVALUATION = 'application/vnd.pilotfish.signed-evaluation.v1+json'
    static final String AWAY = '\nThe bridge is away, and nothing is wrong with this build: try again later.'
    static final int ANSWER_BYTES = 16 << 20
    static final Map<String, String> LEASES = [lock: 'locks', release: 'locks/release', milestone: 'milestones']
    static final Map PLUGINS = [podTemplate: 'kubernetes', lock: 'lockable-resources', junit: 'junit',
        input: 'pipeline-input-step', withCredentials: 'credentials-binding']
    // Parts of the names of the classes of causes, and the words of the catalog.
    static final Map CAUSES = [User: 'user', Upstream: 'upstream', Timer: 'timer', SCMTrigger: 'push', Branch: 'push',
        Push: 'push', WebHook: 'push', Remote: 'remote']

    /** Settings of the controller, not of the build: no job can change them. */
    @NonCPS
    static Map settings() {
        Map all = [PILOTFISH_CREDENTIAL: 'pilotfish-bridge', PILOTFISH_LABEL: '']
        List found = Jenkins.get().globalNodeProperties.findAll { it instanceof EnvironmentVariablesNodeProperty }
        found.each { all.putAll(it.envVars) }
        List missing = ['PILOTFISH_BRIDGE', 'PILOTFISH_CONTROLLER', 'PILOTFISH_KEYS'].findAll { !all[it] }
        if (missing) {
            all.problem = "this controller has no ${missing.join(', ')}: " +
                'set them under Manage Jenkins, System, Global properties, Environment variables'
        }
        String url = all.PILOTFISH_BRIDGE ?: ''
        if (!missing && !(url ==~ '(https://|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])[:/]).*')) {
            all.problem = "PILOTFISH_BRIDGE is ${url}: it takes https://, or http:// of this machine"
        }
        return all
    }

    /** What the Jenkinsfile may say: a label, and overrides by path. */
    @NonCPS
    static Map question(Map options) {
        return [overrides: options.findAll { it.key != 'label' }, labels: options.label ? [options.label.toString()] : []]
    }

    /** What is true of this build, whatever the Jenkinsfile says. Secrets are left out. */
    @NonCPS
    static Map identity(Run build, Map settings) {
        Map given = [:], env = build.getEnvironment(TaskListener.NULL)
        build.getAction(ParametersAction)?.parameters?.findAll { !it.sensitive }?.each {
            def value = it.value
            if (value instanceof CharSequence || value instanceof Boolean || value instanceof Number) given[it.name] = value
            else if (it.class.simpleName == 'RunParameterValue') given[it.name] = "${it.jobName}#${it.number}"
        }
        Closure fact = { name -> given.containsKey(name) ? null : env[name] } // no parameter is a branch
        List causes = build.causes.collect { it.class.simpleName }
        Map facts = [
            branch: fact('TAG_NAME') ? null : fact('CHANGE_BRANCH') ?: fact('BRANCH_NAME'),
            tag: fact('TAG_NAME'),
            pull_request: fact('CHANGE_TARGET'),
            cause: CAUSES.find { word, cause -> causes.any { it.contains(word) } }?.value,
        ]
        Map all = [
            controller: settings.PILOTFISH_CONTROLLER,
            job: build.parent.fullName,
            build: build.number,
            started_ms: build.startTimeInMillis,
            facts: facts.findAll { it.value },
            parameters: given.findAll { !it.key.startsWith('PILOTFISH_') },
        ]
        if (given.PILOTFISH_PLAN) all.digest = given.PILOTFISH_PLAN
        return all
    }

    /** Says that this run has the build of the bridge whose key it was given; no key where it was given none. */
    @NonCPS
    static Map claim(Run build, Map settings) {
        Map given = [:]
        build.getAction(ParametersAction)?.parameters?.each { given[it.name] = it.value }
        String id = given.PILOTFISH_BUILD_ID ?: '', key = given.PILOTFISH_BUILD_KEY ?: ''
        if (!(id ==~ 'r-[A-Za-z0-9_-]{1,40}') || !key) return [:]
        String root = Jenkins.get().rootUrl ?: 'http://localhost/'
        return [id: id, key: key, controller: settings.PILOTFISH_CONTROLLER, url: root + build.url]
    }

    /** Whether a build may use a credential. */
    @NonCPS
    static boolean isThere(Run build, String id) {
        return CredentialsProvider.findCredentialById(id, IdCredentials, build) != null
    }

    /** One request: 2 s to connect, 10 s in all. Gives `json`, or a `problem` and whether to try `again`. */
    @NonCPS @CompileStatic
    static Map exchange(Run build, Map run, String what, Map body) {
        Map settings = settings()
        if (settings.problem) return [problem: settings.problem]
        String path = what == 'evaluate' ? "/v1/plans/${run.digest}/evaluate" : "/v1/builds/${run.id}/events"
        String token = run.token ? Secret.fromString(run.token as String).plainText : null
        if (what == 'start') path = "/v1/builds/${run.id}"
        if (LEASES[what]) path = "/v1/builds/${run.id}/${LEASES[what]}"
        if (what == 'claim') {
            body = claim(build, settings)
            if (!body.key) return [json: [:]] // the bridge did not start it
            path = "/v1/builds/${body.remove('id')}/claim"
        }
        if (what == 'plan') {
            path = '/v1/plans'
            body = body + identity(build, settings)
        }
        if (what in ['claim', 'plan']) {
            String id = settings.PILOTFISH_CREDENTIAL
            // Nothing gives this token away: a Jenkinsfile may call every method of a library.
            List<StringCredentials> all = CredentialsProvider.lookupCredentials(
                StringCredentials, Jenkins.get(), ACL.SYSTEM, Collections.<DomainRequirement>emptyList())
            token = all.find { StringCredentials one -> one.id == id }?.secret?.plainText
            if (!token) return [problem: "this controller has no secret text `${id}` among its credentials".toString()]
        }
        String question = JsonOutput.toJson(body)
        String url = settings.PILOTFISH_BRIDGE.toString().replaceAll('/+$', '') + path
        ByteArrayOutputStream bytes = new ByteArrayOutputStream()
        Consumer<Optional<byte[]>> take = { Optional<byte[]> part ->
            if (part.isPresent()) bytes.write(part.get(), 0, part.get().length)
            if (bytes.size() > ANSWER_BYTES) throw new IOException("the answer has more than ${ANSWER_BYTES} bytes")
        }
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(2)).build()
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).header('Content-Type', 'application/json')
            .header('Authorization', "Bearer ${token}".toString())
            .method(what == 'start' ? 'GET' : 'POST', HttpRequest.BodyPublishers.ofString(what == 'start' ? '' : question)).build()
        def answer = client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArrayConsumer(take))
        int status = 0
        def json = null
        try {
            status = answer.get(10, TimeUnit.SECONDS).statusCode()
            json = new JsonSlurperClassic().parseText(bytes.toString('UTF-8'))
        } catch (TimeoutException e) {
            return [again: true, problem: "${url} gave no answer in 10 s".toString()]
        } catch (ExecutionException e) {
            String why = e.cause?.message ?: e.cause?.class?.simpleName
            return [again: true, problem: "${url} cannot be reached: ${why}".toString()]
        } catch (RuntimeException e) {
            json = null // no JSON: something in front of the bridge has answered
        } finally {
            answer.cancel(true)
        }
        if (status == 200 && json instanceof Map) {
            return what == 'evaluate' ? evaluated(run, (Map) json, question, settings) : [json: json]
        }
        Map problem = json instanceof Map ? (Map) json : [:]
        List<Map> wrong = (List<Map>) (problem.errors ?: [])
        List<String> errors = wrong.collect { Map one -> "\n  ${one.path}: ${one.message}".toString() }
        String detail = problem.detail ?: bytes.toString('UTF-8').take(200)
        String told = "${url} answered ${status} ${problem.title ?: 'without JSON'}: ${detail}"
        return [again: status in [429, 502, 503, 504] || status == 200, lost: what == 'claim' && status == 409, status: status,
            problem: told + errors.join('')]
    }

    /** Sends events that wait; gives the trouble, if any. After one, it is silent for a minute. */
    @NonCPS
    static String sent(Run build, Map run) {
        if (!run.events || System.currentTimeMillis() < run.silent_until) return null
        List some = run.events.take(100) // each may have outputs of 16 KiB; the bridge takes 4 MiB
        Map answer = exchange(build, run, 'events', [events: some])
        if (answer.again) run.silent_until = System.currentTimeMillis() + 60000
        else run.events = run.events.drop(some.size())
        return answer.problem
    }

    /** Why the pod of the build does not start, as its cluster says; nothing where it may, or nobody knows. */
    @NonCPS
    static String notStarted(Run build, Map run) {
        def failure = exchange(build, run, 'start', [:]).json?.pod?.failure
        return failure instanceof Map ? "${failure.reason}: ${failure.message}".toString().take(2000) : null
    }

    /** The run of a plan that is signed, not over, and for this very build; else its `problem`. */
    @NonCPS
    static Map accepted(Run build, Map answer, Map options) {
        Map settings = settings(), identity = identity(build, settings), signed
        try {
            signed = opened(PLAN, answer.json.signed, settings)
        } catch (Exception e) {
            return [problem: "Pilotfish refuses the plan: ${e.message}"]
        }
        Map expected = [format: 'pilotfish/signed-plan/v1', controller: identity.controller, job: identity.job,
            number: identity.build] + (identity.digest ? [digest: identity.digest] : [:])
        String wrong = differing(signed, expected)
        if (wrong) return [problem: "Pilotfish refuses the plan: ${wrong}"]
        Map plan = signed.plan
        if (plan.format != 'pilotfish/plan/v1') {
            return [problem: "this library does not know plans of the format ${plan.format}: update it"]
        }
        String label = options.label ?: signed.label ?: settings.PILOTFISH_LABEL
        Map has = PLUGINS.collectEntries { name, plugin -> [name, StepDescriptor.byFunctionName(name) != null] }
        List active = Plans.nodes(plan).findAll { it.type == 'stage' && it.decision.state != 'skipped' }
        Map without = Plans.used(active, label).findAll { !has[it.key] }
        List missing = without.findAll { !it.value }.collect { "the plugin ${PLUGINS[it.key]}" }
        if (has.withCredentials) active.each { stage ->
            List none = (stage.credentials ?: []).findAll { !it.optional && !isThere(build, it.id) }
            missing.addAll(none.collect { "the credential ${it.id} (stage ${stage.title})" })
        }
        if (missing) return [problem: "this plan needs what this controller has not: ${missing.unique().join(', ')}"]
        List notes = without.collect { "the plugin ${PLUGINS[it.key]} is missing: ${it.value}" }
        Map pod = !label && has.podTemplate ? Pods.of(signed.pod, active) : [:]
        return [
            plan: plan, digest: signed.digest, id: signed.build,
            token: Secret.fromString(answer.json.build.token).encryptedValue, // never stored in the clear
            names: build.getEnvironment(TaskListener.NULL).keySet().findAll { it != it.toUpperCase() } as List,
            label: label, pod: pod.yaml, containers: pod.names, sockets: pod.sockets, has: has,
            build: "${identity.job}#${identity.build}".toString(),
            results: [:], outputs: [:], places: [:], tries: 0, tests: [:],
            events: [], sequence: 0, silent_until: 0L, deadline: 0L, stopped: null,
            overview: Plans.overview(plan, signed.digest, answer.json.binding?.unmapped, notes),
        ]
    }

    /** The decisions of an answer that is signed for this build and this question. */
    @NonCPS
    static Map evaluated(Map run, Map answer, String question, Map settings) {
        try {
            Map signed = opened(EVALUATION, answer.signed, settings)
            String asked = 'sha256:' + MessageDigest.getInstance('SHA-256').digest(question.getBytes('UTF-8')).encodeHex()
            Map expected = [format: 'pilotfish/signed-evaluation/v1', build: run.id, digest: run.digest, request: asked]
            String wrong = differing(signed, expected)
            return wrong ? [problem: "the answer is refused: ${wrong}".toString()] : [json: [decisions: signed.decisions]]
        } catch (Exception e) {
            return [problem: "the answer is refused: ${e.message}".toString()]
        }
    }

    /** What is not as it must be in something signed; nothing where all is well. */
    @NonCPS
    static String differing(Map signed, Map expected) {
        List wrong = expected.findAll { signed[it.key] != it.value }
            .collect { "its ${it.key} is ${signed[it.key]}, not ${it.value}" }
        if (!(signed.expires_at instanceof Number) || signed.expires_at * 1000L < System.currentTimeMillis()) {
            wrong << 'its time is over (is the clock of this controller right?)'
        }
        return wrong.join('; ')
    }

    /** What is in a DSSE envelope that one of the keys signed by Ed25519. */
    @NonCPS @CompileStatic
    static Map opened(String type, Map envelope, Map settings) {
        if (!envelope || !envelope.signatures) throw new SecurityException('it is not signed')
        if (envelope.payloadType != type) throw new SecurityException("it is of the type ${envelope.payloadType}")
        byte[] payload = Base64.decoder.decode(envelope.payload as String)
        byte[] head = "DSSEv1 ${type.length()} ${type} ${payload.length} ".toString().getBytes('UTF-8')
        for (String key : settings.PILOTFISH_KEYS.toString().tokenize(' ,\n')) {
            PublicKey spki
            try {
                spki = KeyFactory.getInstance('Ed25519').generatePublic(new X509EncodedKeySpec(Base64.decoder.decode(key)))
            } catch (NoSuchAlgorithmException e) {
                throw new SecurityException('this controller needs Java 17 to verify it', e)
            } catch (InvalidKeySpecException | IllegalArgumentException e) {
                throw new SecurityException("`${key}` in PILOTFISH_KEYS is no public key of the bridge", e)
            }
            for (Map one : (List<Map>) envelope.signatures) {
                Signature check = Signature.getInstance('Ed25519')
                check.initVerify(spki)
                check.update(head)
                check.update(payload)
                if (check.verify(Base64.decoder.decode(one.sig as String))) {
                    return (Map) new JsonSlurperClassic().parseText(new String(payload, 'UTF-8'))
                }
            }
        }
        throw new SecurityException('none of the keys in PILOTFISH_KEYS signed it')
    }
}

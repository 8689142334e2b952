{{/* Name of all objects. */}}
{{- define "bridge.name" -}}
{{- if contains "pilotfish-bridge" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-pilotfish-bridge" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bridge.selector" -}}
app.kubernetes.io/name: pilotfish-bridge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "bridge.labels" -}}
{{ include "bridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bridge.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bridge.port" -}}
{{- .Values.service.port | default (ternary 443 80 (not (empty .Values.tls.secret))) -}}
{{- end -}}

{{- define "bridge.account" -}}
{{- .Values.serviceAccount.name | default (include "bridge.name" .) -}}
{{- end -}}

{{/* What the strictest standard asks of a pod and of its container. */}}
{{- define "bridge.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "bridge.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Whether the bridge speaks to the cluster that it is in. */}}
{{- define "bridge.usesCluster" -}}
{{- $files := or .Values.clusters.configMap .Values.mastersFromCluster.enabled -}}
{{- $pods := or .Values.rbac.watchPods .Values.rbac.makePods .Values.rbac.makeAgents .Values.rbac.keepImages -}}
{{- if or $files $pods .Values.rbac.reviewTokens -}}true{{- end -}}
{{- end -}}

{{/* The pod of the service. */}}
{{- define "bridge.pod" -}}
{{- $scheme := ternary "HTTPS" "HTTP" (not (empty .Values.tls.secret)) -}}
serviceAccountName: {{ include "bridge.account" . }}
automountServiceAccountToken: {{ eq (include "bridge.usesCluster" .) "true" }}
enableServiceLinks: false
securityContext: {{- include "bridge.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
# Requests under way end within 20 s.
terminationGracePeriodSeconds: 40
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "bridge.selector" . | nindent 8 }}
containers:
  - name: bridge
    image: {{ include "bridge.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    securityContext: {{- include "bridge.containerSecurity" . | nindent 6 }}
    args:
      - serve
      - --listen=0.0.0.0:8089
      - --catalog=/etc/pilotfish/catalog{{ with .Values.catalog.path }}/{{ . }}{{ end }}
      - --tokens=/run/secrets/tokens/tokens.yaml
      {{- range .Values.signingKeys.keys }}
      - --signing-key=/run/secrets/signing/{{ . }}
      {{- end }}
      {{- range $name := list "masters" "controllers" "clusters" }}
      {{- if (index $.Values $name).configMap }}
      - --{{ $name }}=/etc/pilotfish/{{ $name }}/{{ $name }}.yaml
      {{- end }}
      {{- end }}
      {{- if .Values.agents.configMap }}
      - --agents=/etc/pilotfish/agents/agents.yaml
      {{- end }}
      {{- with .Values.mastersFromCluster }}
      {{- if .enabled }}
      - --masters-from-cluster
      {{- with .namespace }}
      - --masters-namespace={{ . }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- if .Values.masterTokens.secret }}
      - --master-tokens=/run/secrets/master-tokens
      {{- end }}
      {{- if .Values.archive.configMap }}
      - --archive-s3=/etc/pilotfish/archive/archive.yaml
      {{- end }}
      {{- if .Values.tls.secret }}
      - --tls-cert=/run/secrets/tls/tls.crt
      - --tls-key=/run/secrets/tls/tls.key
      {{- else }}
      - --behind-proxy
      {{- end }}
      {{- if not .Values.database.secret }}
      - --database=sqlite:/data/pilotfish-bridge.db
      {{- end }}
      - --log-format={{ .Values.log.format }}
      - --log-level={{ .Values.log.level }}
      {{- range .Values.extraArgs }}
      - {{ . | quote }}
      {{- end }}
    env:
      {{- if .Values.database.secret }}
      - name: PILOTFISH_DATABASE_URL
        valueFrom: {secretKeyRef: {name: {{ .Values.database.secret }}, key: {{ .Values.database.key | quote }}}}
      {{- end }}
      - name: HOSTNAME
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- with .Values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      - {name: bridge, containerPort: 8089}
    startupProbe:
      httpGet: {path: /healthz, port: bridge, scheme: {{ $scheme }}}
      periodSeconds: 2
      failureThreshold: 60
    # Without its database it answers nothing; starting it again would not help then.
    readinessProbe:
      httpGet: {path: /healthz, port: bridge, scheme: {{ $scheme }}}
      periodSeconds: 5
      timeoutSeconds: 3
    livenessProbe:
      tcpSocket: {port: bridge}
      periodSeconds: 10
      failureThreshold: 6
    resources: {{- toYaml .Values.resources | nindent 6 }}
    volumeMounts:
      - {name: catalog, mountPath: /etc/pilotfish/catalog, readOnly: true}
      - {name: tokens, mountPath: /run/secrets/tokens, readOnly: true}
      - {name: signing, mountPath: /run/secrets/signing, readOnly: true}
      - {name: temporary, mountPath: /tmp}
      {{- if .Values.tls.secret }}
      - {name: tls, mountPath: /run/secrets/tls, readOnly: true}
      {{- end }}
      {{- range $name := list "masters" "controllers" "clusters" "archive" }}
      {{- with index $.Values $name }}
      {{- if .configMap }}
      - {name: {{ $name }}, mountPath: /etc/pilotfish/{{ $name }}, readOnly: true}
      {{- end }}
      {{- if .secret }}
      - {name: {{ $name }}-secret, mountPath: /run/secrets/{{ $name }}, readOnly: true}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- if .Values.masterTokens.secret }}
      - {name: master-tokens, mountPath: /run/secrets/master-tokens, readOnly: true}
      {{- end }}
      {{- if .Values.agents.configMap }}
      - {name: agents, mountPath: /etc/pilotfish/agents, readOnly: true}
      {{- end }}
      {{- if not .Values.database.secret }}
      - {name: data, mountPath: /data}
      {{- end }}
volumes:
  - name: catalog
    {{- if .Values.catalog.configMap }}
    configMap: {name: {{ .Values.catalog.configMap }}}
    {{- else }}
    persistentVolumeClaim: {claimName: {{ .Values.catalog.claim }}, readOnly: true}
    {{- end }}
  - {name: tokens, secret: {secretName: {{ .Values.tokens.secret }}, defaultMode: 288}}
  - {name: signing, secret: {secretName: {{ .Values.signingKeys.secret }}, defaultMode: 288}}
  - {name: temporary, emptyDir: {sizeLimit: 256Mi}}
  {{- if .Values.tls.secret }}
  - {name: tls, secret: {secretName: {{ .Values.tls.secret }}, defaultMode: 288}}
  {{- end }}
  {{- range $name := list "masters" "controllers" "clusters" "archive" }}
  {{- with index $.Values $name }}
  {{- if .configMap }}
  - {name: {{ $name }}, configMap: {name: {{ .configMap }}}}
  {{- end }}
  {{- if .secret }}
  - {name: {{ $name }}-secret, secret: {secretName: {{ .secret }}, defaultMode: 288}}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.masterTokens.secret }}
  - {name: master-tokens, secret: {secretName: {{ . }}, defaultMode: 288}}
  {{- end }}
  {{- with .Values.agents.configMap }}
  - {name: agents, configMap: {name: {{ . }}}}
  {{- end }}
{{- end -}}

{{/*
The one pod of the chart: the programs and the migrations are made from it, so that what is restricted, labelled
or placed is so everywhere. Takes root, component, image, command, pod (overrides of .Values.pod), secrets; and for
programs: facts, config (name of the ConfigMap); for migrations: settings (a map of plain variables).
*/}}
{{- define "headrace.pod" -}}
{{- $pod := mustMergeOverwrite (deepCopy .root.Values.pod) (deepCopy .pod) -}}
{{- $tls := (.facts | default dict).tls -}}
{{- $files := dict -}}
{{- range $variable, $ref := .secrets -}}{{- if hasSuffix "_FILE" $variable -}}{{- $_ := set $files $variable $ref -}}{{- end -}}{{- end -}}
metadata:
  labels:
    {{- include "headrace.selector" . | nindent 4 }}
    app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
    {{- with $pod.labels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    {{- if .facts }}
    checksum/config: {{ include "headrace.settings" . | sha256sum }}
    {{- end }}
    {{- with $pod.annotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if .facts }}
  terminationGracePeriodSeconds: {{ include "headrace.gracePeriod" . }}
  {{- else }}
  restartPolicy: Never
  {{- end }}
  securityContext:
    runAsNonRoot: true
    seccompProfile: {type: RuntimeDefault}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "headrace.image" . }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: {{ toJson .command }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- with .config }}
      envFrom:
        - configMapRef: {name: {{ . }}}
      {{- end }}
      env:
        {{- range $variable, $value := .settings }}
        {{- if $value }}
        - {name: {{ $variable }}, value: {{ quote $value }}}
        {{- end }}
        {{- end }}
        {{- range $variable, $ref := .secrets }}
        - name: {{ $variable }}
          {{- if hasKey $files $variable }}
          value: {{ printf "%s/%s" (include "headrace.fileFolder" $variable) $ref.key }}
          {{- else }}
          valueFrom:
            secretKeyRef: {{ toJson $ref }}
          {{- end }}
        {{- end }}
        {{- if .facts }}
        {{- include "headrace.podAttributes" . | nindent 8 }}
        {{- end }}
        {{- with $pod.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with .facts }}
      ports:
        {{- range $name, $number := .ports }}
        - {name: {{ $name }}, containerPort: {{ $number }}}
        {{- end }}
      {{- include "headrace.probes" . | nindent 6 }}
      {{- with .preStop }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ . }}}
      {{- end }}
      {{- end }}
      resources:
        {{- toYaml $pod.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $tls }}
        - {name: tls, mountPath: {{ include "headrace.tlsFolder" .root }}, readOnly: true}
        {{- end }}
        {{- range $variable, $_ := $files }}
        - {name: {{ include "headrace.fileVolume" $variable }}, mountPath: {{ include "headrace.fileFolder" $variable }}, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- with $tls }}
    - name: tls
      secret: {secretName: {{ . }}}
    {{- end }}
    {{- range $variable, $ref := $files }}
    - name: {{ include "headrace.fileVolume" $variable }}
      secret:
        secretName: {{ $ref.name }}
        items:
          - {key: {{ $ref.key }}, path: {{ $ref.key }}}
    {{- end }}
  {{- with $pod.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if .facts }}
  topologySpreadConstraints:
    {{- with $pod.topologySpreadConstraints }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      matchLabelKeys: [pod-template-hash]
      labelSelector:
        matchLabels:
          {{- include "headrace.selector" . | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* A secret whose variable ends in _FILE is mounted; the variable holds its path. Takes the variable. */}}
{{- define "headrace.fileVolume" -}}{{ . | lower | replace "_" "-" }}{{- end -}}
{{- define "headrace.fileFolder" -}}/etc/headrace/{{ include "headrace.fileVolume" . }}{{- end -}}

{{/* The resource attributes of a pod's spans: the chart's, then the user's. Takes root. */}}
{{- define "headrace.podAttributes" -}}
- name: K8S_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: K8S_NAMESPACE_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: K8S_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- $attributes := list
  (printf "service.version=%s" .root.Chart.AppVersion)
  "k8s.namespace.name=$(K8S_NAMESPACE_NAME)"
  "k8s.pod.name=$(K8S_POD_NAME)"
  "k8s.node.name=$(K8S_NODE_NAME)" }}
{{- with .root.Values.config.OTEL_RESOURCE_ATTRIBUTES }}{{ $attributes = append $attributes . }}{{ end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," $attributes | quote }}
{{- end -}}

{{/*
Servers are asked by the standard gRPC health service, workers and the console over HTTP. Liveness is about the process alone and
never about the database: an outage of Postgres must not restart what will recover by itself. Takes the facts.
*/}}
{{- define "headrace.probes" -}}
{{- $port := .httpHealth | default "health" -}}
{{- $live := dict "httpGet" (dict "path" "/livez" "port" $port) -}}
{{- $ready := dict "httpGet" (dict "path" "/readyz" "port" $port) -}}
{{- with .grpcHealth -}}
{{- $live = dict "grpc" (dict "port" . "service" "liveness") -}}
{{- $ready = dict "grpc" (dict "port" . "service" "readiness") -}}
{{- end -}}
startupProbe:
  {{- toYaml $live | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  {{- toYaml $live | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- toYaml $ready | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

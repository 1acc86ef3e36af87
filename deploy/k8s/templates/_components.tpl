{{/*
The programs: what each runs, where it listens, how it is probed and stopped. The addresses are set here and
nowhere else, so that listeners, probes and Services cannot disagree. Every other template ranges over this table.
  preStop: seconds between leaving the Service's endpoints and SIGTERM, so that no new call comes to a closing door.
*/}}
{{- define "headrace.components" -}}
{{- $name := include "headrace.fullname" . -}}
{{- $tls := .Values.tls }}
api:
  values: api
  image: api
  program: api-server
  tls: {{ $tls.api | quote }}
  ports: {grpc: 50052, workers: 50053, http: 8080}
  grpcHealth: 50052
  preStop: 5
  drain: API_DRAIN_TIMEOUT
  settings:
    API_GRPC_ADDRESS: 0.0.0.0:50052
    API_WORKER_GRPC_ADDRESS: 0.0.0.0:50053
    API_HTTP_ADDRESS: 0.0.0.0:8080
    API_JOBS_TARGET: dns:///{{ $name }}-jobs-server:50051
    {{- if $tls.api }}
    {{- include "headrace.tlsServer" (dict "root" . "prefix" "API_WORKER_GRPC_TLS") | nindent 4 }}
    {{- include "headrace.tlsClient" (dict "root" . "prefix" "API_JOBS_TLS") | nindent 4 }}
    {{- end }}
jobs-server:
  values: jobsServer
  image: jobs
  shared: jobs
  program: jobs-server
  tls: {{ $tls.jobsServer | quote }}
  {{- if $tls.jobsServer }}
  ports: {grpc: 50051, health: 8081}
  {{- else }}
  ports: {grpc: 50051}
  grpcHealth: 50051
  {{- end }}
  preStop: 5
  drain: JOBS_DRAIN_TIMEOUT
  settings:
    JOBS_GRPC_ADDRESS: 0.0.0.0:50051
    {{- if $tls.jobsServer }}
    JOBS_SERVER_HEALTH_ADDRESS: 0.0.0.0:8081
    {{- include "headrace.tlsServer" (dict "root" . "prefix" "JOBS_GRPC_TLS") | nindent 4 }}
    {{- end }}
jobs-worker:
  values: jobsWorker
  image: worker
  shared: jobs
  program: jobs-worker
  tls: {{ $tls.jobsWorker | quote }}
  ports: {health: 8081}
  preStop: 0
  drain: JOBS_DRAIN_TIMEOUT
  settings:
    JOBS_HEALTH_ADDRESS: 0.0.0.0:8081
    JOBS_API_TARGET: dns:///{{ $name }}-api-workers:50053
    {{- if $tls.jobsWorker }}
    {{- include "headrace.tlsClient" (dict "root" . "prefix" "JOBS_API_TLS") | nindent 4 }}
    {{- end }}
{{- if .Values.jobsConsole.enabled }}
jobs-console:
  values: jobsConsole
  image: jobs
  program: jobs-console
  tls: {{ $tls.jobsConsole | quote }}
  ports: {http: 8082}
  httpHealth: http
  preStop: 5
  drain: JOBS_CONSOLE_DRAIN_TIMEOUT
  settings:
    JOBS_CONSOLE_ADDRESS: 0.0.0.0:8082
    JOBS_CONSOLE_TARGET: dns:///{{ $name }}-jobs-server:50051
    {{- if $tls.jobsConsole }}
    {{- include "headrace.tlsClient" (dict "root" . "prefix" "JOBS_CONSOLE_TLS") | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Where a pod finds its certificate: tls.crt, tls.key and ca.crt. */}}
{{- define "headrace.tlsFolder" -}}/etc/headrace/tls{{- end -}}

{{/* The settings of a listener with TLS. Takes root, prefix. */}}
{{- define "headrace.tlsServer" -}}
{{- $folder := include "headrace.tlsFolder" .root -}}
{{ .prefix }}_CERTIFICATE: {{ $folder }}/tls.crt
{{ .prefix }}_KEY: {{ $folder }}/tls.key
{{- if .root.Values.tls.clientCertificates }}
{{ .prefix }}_CLIENT_CA: {{ $folder }}/ca.crt
{{- end }}
{{- end -}}

{{/* The settings of calls with TLS. Takes root, prefix. */}}
{{- define "headrace.tlsClient" -}}
{{- $folder := include "headrace.tlsFolder" .root -}}
{{ .prefix }}_CA: {{ $folder }}/ca.crt
{{- if .root.Values.tls.clientCertificates }}
{{ .prefix }}_CERTIFICATE: {{ $folder }}/tls.crt
{{ .prefix }}_KEY: {{ $folder }}/tls.key
{{- end }}
{{- end -}}

{{/*
The values that belong to a component, under "config" or "secrets": its own over those of the section that it shares.
Takes root, facts, section.
*/}}
{{- define "headrace.section" -}}
{{- $own := index .root.Values .facts.values .section -}}
{{- $shared := dict -}}
{{- with .facts.shared -}}{{- $shared = index $.root.Values . $.section | default dict -}}{{- end -}}
{{- mergeOverwrite (deepCopy $shared) $own | toYaml -}}
{{- end -}}

{{/*
The plain settings of a component as a map VARIABLE: text; an empty value leaves the program's own default.
Takes root, facts.
*/}}
{{- define "headrace.settings" -}}
{{- $own := include "headrace.section" (merge (dict "section" "config") .) | fromYaml -}}
{{- $all := dict -}}
{{- range $variable, $value := mergeOverwrite (deepCopy .root.Values.config) $own .facts.settings -}}
  {{- if kindIs "map" $value -}}{{- $value = $value | empty | ternary "" (toJson $value) -}}{{- end -}}
  {{- /* A whole number comes as a float, and a large one would print as 1e+06. */ -}}
  {{- if and (kindIs "float64" $value) (eq $value (floor $value)) -}}{{- $value = int64 $value -}}{{- end -}}
  {{- if ne (toString $value) "" -}}{{- $_ := set $all $variable (toString $value) -}}{{- end -}}
{{- end -}}
{{- omit $all "OTEL_RESOURCE_ATTRIBUTES" | toYaml -}}
{{- end -}}

{{/* "1h", "5m", "1m30s" or "25s" in seconds. */}}
{{- define "headrace.seconds" -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[hms]" . -1 -}}
  {{- $seconds = add $seconds (mul (regexFind "[0-9]+" . | int) (get (dict "h" 3600 "m" 60 "s" 1) (regexFind "[hms]" .))) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/*
Seconds from the pod's deletion to SIGKILL: the wait before SIGTERM, the drain, and 15 more to hand back what is
left, flush spans and close. Takes root, facts.
*/}}
{{- define "headrace.gracePeriod" -}}
{{- $drain := get (include "headrace.settings" . | fromYaml) .facts.drain -}}
{{- add .facts.preStop (include "headrace.seconds" $drain) 15 -}}
{{- end -}}

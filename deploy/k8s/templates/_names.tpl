{{/* Names and labels. One rule for all: <fullname>-<component>, where the component is api, jobs-server, jobs-worker or jobs-console. */}}

{{- define "headrace.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}{{- end -}}
{{- .Values.fullnameOverride | default $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes between two versions: a Deployment's selector. Takes root, component. */}}
{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. Takes root, component. */}}
{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image's full name; a digest says more than a tag. Takes root, image ("api" or "jobs"). */}}
{{- define "headrace.image" -}}
{{- $all := .root.Values.image -}}
{{- $one := index $all .image -}}
{{- $name := $one.repository -}}
{{- if $all.registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" $all.registry) $name -}}{{- end -}}
{{- if $one.digest -}}{{ $name }}@{{ $one.digest }}{{- else -}}{{ $name }}:{{ $all.tag | default .root.Chart.AppVersion }}{{- end -}}
{{- end -}}

{{- define "busbar.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "busbar.selector" -}}
app.kubernetes.io/name: busbar
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "busbar.labels" -}}
{{ include "busbar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "busbar.conf" -}}
data = /var/lib/busbar
listen = :{{ .Values.webSocket.port }}
api = :{{ .Values.api.port }}
metrics = :{{ .Values.metrics.port }}
log-format = json
drain-delay = {{ .Values.drain.delaySeconds }}s
drain = {{ .Values.drain.overSeconds }}s
{{- if or .Values.cluster.enabled .Values.nats.existingSecret }}
log = nats
{{- end }}
{{- if .Values.cluster.enabled }}
cluster-secret-file = /etc/busbar/cluster/secret
{{- end }}
{{- range $name, $value := .Values.config }}
{{ $name }} = {{ if kindIs "float64" $value }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{ end }}

{{- define "busbar.check" -}}
{{- $several := or .Values.cluster.enabled .Values.nats.existingSecret (get .Values.config "nats") }}
{{- if and (gt (int .Values.replicas) 1) (not $several) }}{{ fail "more than one replica needs nats or cluster" }}{{ end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.adminToken.existingSecret) }}{{ fail "several replicas need one admin token: adminToken.existingSecret" }}{{ end }}
{{- if and .Values.cluster.enabled (not .Values.cluster.existingSecret) }}{{ fail "cluster needs a secret: cluster.existingSecret" }}{{ end }}
{{- if and .Values.cluster.enabled (not (has (int .Values.replicas) (list 3 5))) }}{{ fail "cluster needs 3 or 5 replicas" }}{{ end }}
{{- end }}

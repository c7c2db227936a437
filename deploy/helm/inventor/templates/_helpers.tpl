{{- define "inventor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "inventor.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "inventor.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "inventor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "inventor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "inventor.labels" -}}
{{ include "inventor.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "inventor.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "inventor.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "inventor.secretName" -}}
{{- default (include "inventor.fullname" .) .Values.existingSecret }}
{{- end }}

{{/* The keys of the Secret that the pod has as files, so that it takes up what is new in them; in JSON. */}}
{{- define "inventor.secretFiles" -}}
{{- if .Values.existingSecret }}
{{- toJson .Values.existingSecretKeys }}
{{- else }}
{{- $keys := list }}
{{- range $name, $value := .Values.secret }}
{{- with $value }}{{ $keys = append $keys $name }}{{ end }}
{{- end }}
{{- toJson $keys }}
{{- end }}
{{- end }}

{{/* Where the registrations live: embedded, sidecar or external. */}}
{{- define "inventor.store" -}}
{{- $config := .Values.config }}
{{- if .Values.redis.enabled }}sidecar
{{- else if or .Values.externalRedis $config.REDIS_ADDR $config.REDIS_URL $config.REDIS_SENTINELS $config.REDIS_CLUSTER }}external
{{- else }}embedded
{{- end }}
{{- end }}

{{/* The value of a setting as text; YAML reads large numbers as floating point. */}}
{{- define "inventor.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "inventor.port" -}}
{{- include "inventor.text" (default 9101 .Values.config.LISTEN_PORT) }}
{{- end }}

{{/* How the pods are asked. */}}
{{- define "inventor.scheme" -}}
{{- if .Values.tls.secretName }}https{{ else }}http{{ end }}
{{- end }}

{{/* A probe of the values, by TLS where the server speaks that. */}}
{{- define "inventor.probe" -}}
{{- $probe := deepCopy .probe }}
{{- if and .root.Values.tls.secretName $probe.httpGet }}
{{- $probe = merge $probe (dict "httpGet" (dict "scheme" "HTTPS")) }}
{{- end }}
{{- toYaml $probe }}
{{- end }}

{{/* What cannot work is refused with a sentence that says what would. */}}
{{- define "inventor.check" -}}
{{- $store := include "inventor.store" . }}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
{{- if and $several (eq $store "embedded") }}
{{- fail "several replicas need a Redis that they share: set config.REDIS_ADDR (or REDIS_URL, REDIS_SENTINELS, REDIS_CLUSTER), or replicas to 1; the embedded store is the file of one pod" }}
{{- end }}
{{- if and $several (eq $store "sidecar") }}
{{- fail "redis.enabled gives each pod a Redis of its own, so that several replicas would answer differently: set redis.enabled to false and config.REDIS_ADDR to a Redis that they share, or replicas to 1" }}
{{- end }}
{{- if and (eq $store "sidecar") (or .Values.config.REDIS_URL .Values.config.REDIS_SENTINELS .Values.config.REDIS_CLUSTER .Values.externalRedis (not (has (default "127.0.0.1" .Values.config.REDIS_ADDR) (list "127.0.0.1" "localhost" "::1")))) }}
{{- fail "redis.enabled starts a Redis in the pod, and the configuration names another one: set redis.enabled to false, or remove config.REDIS_ADDR, REDIS_URL, REDIS_SENTINELS, REDIS_CLUSTER and externalRedis" }}
{{- end }}
{{- if and (eq $store "external") (has (default "" .Values.config.REDIS_ADDR) (list "127.0.0.1" "localhost" "::1")) }}
{{- fail "config.REDIS_ADDR is the pod itself: set redis.enabled to true for a Redis beside the server, or name another address" }}
{{- end }}
{{- if and (eq $store "sidecar") .Values.secret.REDIS_PASSWORD }}
{{- fail "secret.REDIS_PASSWORD is for a Redis of your own: the one of redis.enabled has none and listens inside the pod only" }}
{{- end }}
{{- if and .Values.tls.clientCaKey (not .Values.tls.secretName) }}
{{- fail "tls.clientCaKey is a key of tls.secretName, which has to be set" }}
{{- end }}
{{- if and (not .Values.existingSecret) (not .Values.secret.API_TOKEN) }}
{{- fail "secret.API_TOKEN, or existingSecret with a key API_TOKEN, has to be set: it is the token for registrations" }}
{{- end }}
{{- if and .Values.existingSecretKeys (not .Values.existingSecret) }}
{{- fail "existingSecretKeys are keys of existingSecret, which has to be set" }}
{{- end }}
{{- if and .Values.existingSecret (or .Values.secret.API_TOKEN .Values.secret.SD_TOKEN .Values.secret.REDIS_PASSWORD .Values.secret.REDIS_SENTINEL_PASSWORD) }}
{{- fail "existingSecret and secret are both set: put all tokens into one of them" }}
{{- end }}
{{- end }}

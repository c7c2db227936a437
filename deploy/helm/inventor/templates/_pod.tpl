{{/* The pod of the Deployment and of the StatefulSet; only where the registrations live tells them apart. */}}
{{- define "inventor.pod" -}}
{{- include "inventor.check" . }}
{{- $store := include "inventor.store" . }}
{{- $secrets := include "inventor.secretFiles" . | fromJsonArray }}
metadata:
  labels:
    {{- include "inventor.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
    {{- with .Values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "inventor.serviceAccountName" . }}
  automountServiceAccountToken: false
  # A Service called redis would otherwise set REDIS_PORT to a URL.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: main
      image: {{ printf "%s:%s" .Values.main.image (default .Chart.AppVersion .Values.main.tag) | quote }}
      imagePullPolicy: {{ .Values.main.pullPolicy }}
      envFrom:
        - configMapRef:
            name: {{ include "inventor.fullname" . }}
        {{- if .Values.existingSecret }}
        - secretRef:
            name: {{ .Values.existingSecret }}
        {{- end }}
      {{- if .Values.existingSecretKeys }}
      # What is a file is no variable.
      env:
        {{- range .Values.existingSecretKeys }}
        - name: {{ . }}
          value: ""
        {{- end }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ include "inventor.port" . }}
      livenessProbe: {{- include "inventor.probe" (dict "root" . "probe" .Values.livenessProbe) | nindent 8 }}
      readinessProbe: {{- include "inventor.probe" (dict "root" . "probe" .Values.readinessProbe) | nindent 8 }}
      {{- if and (gt (int .Values.preStopSleepSeconds) 0) (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.preStopSleepSeconds }}
      {{- end }}
      {{- with .Values.main.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.main.securityContext }}
      securityContext: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or (eq $store "embedded") $secrets .Values.tls.secretName .Values.extraVolumeMounts }}
      volumeMounts:
        {{- if eq $store "embedded" }}
        - name: data
          mountPath: /data
        {{- end }}
        {{- if $secrets }}
        - name: secrets
          mountPath: /secrets
          readOnly: true
        {{- end }}
        {{- if .Values.tls.secretName }}
        - name: tls
          mountPath: /tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    {{- if eq $store "sidecar" }}
    - name: redis
      image: {{ printf "%s:%s" .Values.redis.image .Values.redis.tag | quote }}
      imagePullPolicy: {{ .Values.redis.pullPolicy }}
      # Only the other container of this pod speaks to it.
      args: ["redis-server", "--bind", "127.0.0.1", "--port", {{ include "inventor.text" (default 6379 .Values.config.REDIS_PORT) | quote }}, "--appendonly", "yes", "--dir", "/data"]
      {{- with .Values.redis.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.redis.securityContext }}
      securityContext: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: data
          mountPath: /data
    {{- end }}
  {{- $own := and (ne $store "external") (or (not .Values.persistence.enabled) .Values.persistence.existingClaim) }}
  {{- if or $own $secrets .Values.tls.secretName .Values.extraVolumes }}
  volumes:
    {{- if $own }}
    - name: data
      {{- if .Values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- end }}
    {{- if $secrets }}
    - name: secrets
      secret:
        secretName: {{ include "inventor.secretName" . }}
        items:
          {{- range $secrets }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- end }}
    {{- with .Values.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ . }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "switchgear.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "switchgear.selector" -}}
app.kubernetes.io/name: switchgear
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "switchgear.labels" -}}
{{ include "switchgear.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "switchgear.secret" -}}
{{ default (printf "%s-admin" (include "switchgear.name" .)) .Values.admin.existingSecret }}
{{- end }}

{{- define "switchgear.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "switchgear.name" . }}
{{- else }}default{{ end -}}
{{- end }}

{{- define "switchgear.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- /* Of a container: it needs no right at all. */}}
{{- define "switchgear.securityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Whether a service of the configuration queues writes in SQLite; "yes" or nothing. A store
       that only a variable tells counts as SQLite: nothing here can see that it is not. */}}
{{- define "switchgear.queuesInSqlite" -}}
{{- $config := fromYaml .Values.config -}}
{{- $policies := list (default dict $config.defaults) -}}
{{- range (default dict $config.services) }}{{ $policies = append $policies (default dict .) }}{{ end -}}
{{- $found := "" -}}
{{- range $policies -}}
{{- range (default list .fallback) }}{{ if kindIs "map" . }}{{ if hasKey . "queue" }}{{ $found = "yes" }}{{ end }}{{ end }}{{ end -}}
{{- end -}}
{{- if not (hasPrefix "postgres" (toString $config.store)) }}{{ $found }}{{ end -}}
{{- end }}

{{- /* A duration in whole seconds as a number; one written otherwise counts as 0, unchecked. */}}
{{- define "switchgear.seconds" -}}
{{- if regexMatch "^[0-9]+s$" (toString .) }}{{ trimSuffix "s" (toString .) }}{{ else }}0{{ end -}}
{{- end }}

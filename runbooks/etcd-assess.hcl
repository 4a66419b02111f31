runbook "etcd-assess" {
  description = "Look at a broken etcd, change nothing, and say which cure loses least, with the commands to type."
}

variable "unit" {
  description = "The systemd unit that runs etcd. Not used with manifest."
  type        = string
  default     = "etcd.service"
}

variable "manifest" {
  description = "The manifest of etcd's static pod where the kubelet runs it, such as /etc/kubernetes/manifests/etcd.yaml."
  type        = string
  default     = null
}

variable "backup_dirs" {
  description = "The directories that hold backups."
  type        = list(string)
  default     = ["/var/backups/etcd"]
}

variable "interval_seconds" {
  description = "How often a backup should be made, in seconds."
  type        = number
  default     = 3600
}

data "etcd_diagnosis" "now" {
  unit     = var.manifest == null ? var.unit : null
  manifest = var.manifest
  backups  = var.backup_dirs
}

data "etcd_backups" "all" {
  directories      = var.backup_dirs
  interval_seconds = var.interval_seconds
  version          = data.etcd_diagnosis.now.version == "" ? null : data.etcd_diagnosis.now.version
}

data "etcd_loss" "if_restored" {
  data_dir = data.etcd_diagnosis.now.data_dir
  wal_dir  = data.etcd_diagnosis.now.wal_dir
  snapshot = data.etcd_backups.all.newest == "" ? null : data.etcd_backups.all.newest
}

locals {
  # What has to be mended in place, of which etcd-recover.hcl can do two kinds.
  to_mend = toset([for finding in data.etcd_diagnosis.now.findings : finding.class if finding.needs == "repair"])

  # What to give etcd-recover.hcl so that it looks at the same.
  given = join(" ", concat(
    var.manifest == null ? (var.unit == "etcd.service" ? [] : ["--var unit=${var.unit}"]) : ["--var manifest=${var.manifest}"],
    ["--var 'backup_dirs=${jsonencode(var.backup_dirs)}'"],
  ))
  recover = "runbook plan etcd-recover.hcl ${local.given}, then the same with run"
  commands = {
    ""      = data.etcd_diagnosis.now.running ? "none: etcd is running" : "none of the cures is possible: runbook read etcd_diagnosis data_dir=${data.etcd_diagnosis.now.data_dir}"
    restart = data.etcd_diagnosis.now.running ? "none: etcd is running" : local.recover
    repair  = length(setsubtract(local.to_mend, ["wal_torn", "ownership"])) == 0 ? local.recover : "mend by hand what the findings name"
    salvage = local.recover
    restore = local.recover
  }
}

output "findings" {
  value = [for f in data.etcd_diagnosis.now.findings : "${f.severity}: ${f.finding} ${f.advice}"]
}

output "ladder" {
  value = [for rung in data.etcd_diagnosis.now.ladder : rung.possible ? "${rung.cure}: ${rung.why}. It would lose ${rung.loss}." : "${rung.cure}: not possible, ${rung.why}."]
}

output "backups" {
  value = "${data.etcd_backups.all.good} of ${data.etcd_backups.all.count} are good, the newest is ${data.etcd_backups.all.newest == "" ? "none" : data.etcd_backups.all.newest}${data.etcd_backups.all.overdue ? ", and it is overdue" : ""}"
}

output "a_restore_would_lose" {
  value = data.etcd_loss.if_restored.summary
}

output "recommended" {
  value = data.etcd_diagnosis.now.recommended
}

output "advice" {
  value = data.etcd_diagnosis.now.advice
}

output "commands" {
  value = local.commands[data.etcd_diagnosis.now.recommended]
}

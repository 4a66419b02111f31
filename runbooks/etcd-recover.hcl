runbook "etcd-recover" {
  description = "Bring a broken single-member etcd back with the cure that loses least, and fall to the next where one doesn't work: restart, repair, salvage, and a backup last."
  time_budget = "50m"

  goal {
    condition = data.etcd_status.now.healthy && local.well && !local.behind
    message   = "etcd is healthy, nothing in its files wants a cure, and it is not behind its newest backup."
  }
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

variable "pods" {
  description = "The static pods to stop with a manifest, in this order; etcd has to be the last."
  type        = list(string)
  default     = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"]
}

variable "ask" {
  description = "Whether to ask before each cure. Without that, the gentlest that is possible is taken, and the next where it doesn't work."
  type        = bool
  default     = true
}

variable "alone" {
  description = "Make a cluster of this one member from a backup of several members. The others have to be lost, or stopped for good."
  type        = bool
  default     = false
}

variable "backup_dirs" {
  description = "The directories that hold backups. The newest that verifies is the last resort."
  type        = list(string)
  default     = ["/var/backups/etcd"]
}

# All of this is read before anything is stopped, and changes nothing.
data "etcd_member" "this" {
  unit     = var.manifest == null ? var.unit : null
  manifest = var.manifest
}

data "etcd_diagnosis" "now" {
  unit     = var.manifest == null ? var.unit : null
  manifest = var.manifest
  backups  = var.backup_dirs
}

data "etcd_backups" "all" {
  directories = var.backup_dirs
  version     = data.etcd_member.this.version
}

data "etcd_loss" "if_restored" {
  data_dir = data.etcd_member.this.data_dir
  wal_dir  = data.etcd_diagnosis.now.wal_dir
  snapshot = local.backup
}

data "etcd_status" "now" {
  endpoints = data.etcd_member.this.client_urls
  tls       = data.etcd_member.this.tls
}

locals {
  pod      = var.manifest != null
  folder   = var.manifest == null ? "/" : dirname(var.manifest)
  stopped  = "${local.folder}.stopped"
  backup   = data.etcd_backups.all.newest == "" ? null : data.etcd_backups.all.newest
  possible = [for rung in data.etcd_diagnosis.now.ladder : rung.cure if rung.possible]

  # An etcd that came up empty is healthy too, and far behind its backup.
  behind = data.etcd_status.now.healthy && data.etcd_status.now.revision < data.etcd_backups.all.newest_revision

  restart = !local.behind && contains(local.possible, "restart")
  repair  = !local.behind && contains(local.possible, "repair") && length(setsubtract(local.to_mend, ["wal_torn", "ownership"])) == 0
  salvage = !local.behind && contains(local.possible, "salvage")

  # By its own files, or by its newest backup where these don't tell.
  members = length(data.etcd_diagnosis.now.members) > 0 ? data.etcd_diagnosis.now.members[*].name : data.etcd_backups.all.newest_members

  # What a restart mends wants none where etcd runs.
  well = length([for finding in data.etcd_diagnosis.now.findings : finding if !contains(["", "restart"], finding.needs)]) == 0

  # What has to be mended in place, of which this runbook can do two kinds.
  to_mend  = toset([for finding in data.etcd_diagnosis.now.findings : finding.class if finding.needs == "repair"])
  tail     = contains(local.to_mend, "wal_torn")
  owner    = contains(local.to_mend, "ownership")
  mend     = join(", and ", compact([local.tail ? "cut the torn tail off the log" : "", local.owner ? "give the files to the user that etcd runs as" : ""]))
  of_owner = "${data.etcd_member.this.uid}:${data.etcd_member.this.gid}"

  # What each cure loses, for the questions.
  lost   = { for rung in data.etcd_diagnosis.now.ladder : rung.cure => rung.loss }
  losses = { for cure, loss in local.lost : cure => "It would lose ${loss}." }
  others = [for pod in var.pods : pod if pod != "etcd"]
}

step "systemd_unit" "stop_etcd" {
  description = "Stop etcd, and with it the loop that keeps starting it."
  when        = !local.pod
  unit        = var.unit
  state       = "stopped"

  precondition {
    condition     = local.restart || local.repair || local.salvage || local.backup != null
    error_message = "No cure that this runbook knows is possible. ${data.etcd_diagnosis.now.advice} runbook read etcd_diagnosis tells the findings."
  }

  precondition {
    condition     = var.alone || length(local.members) < 2
    error_message = "The cluster has ${length(local.members)} members (${join(", ", local.members)}). If most of them are well, replace this one: remove it, empty its directory, add it again. This runbook would make a cluster of one beside them. If they are lost for good, give --var alone=true."
  }
}

step "static_pod_move" "stop_pods" {
  description = "Stop the control plane, etcd last."
  when        = local.pod
  from        = local.folder
  to          = local.stopped
  pods        = var.pods

  precondition {
    condition     = local.restart || local.repair || local.salvage || local.backup != null
    error_message = "No cure that this runbook knows is possible. ${data.etcd_diagnosis.now.advice} runbook read etcd_diagnosis tells the findings."
  }

  precondition {
    condition     = var.alone || length(local.members) < 2
    error_message = "The cluster has ${length(local.members)} members (${join(", ", local.members)}). If most of them are well, replace this one: remove it, empty its directory, add it again. This runbook would make a cluster of one beside them. If they are lost for good, give --var alone=true."
  }
}

# Which rung is to be tried, and which one has been agreed to.
locals {
  try_restart = local.restart
  try_repair  = local.repair && step.restarted == null
  try_salvage = local.salvage && step.restarted == null && step.repaired == null
  try_restore = local.backup != null && step.restarted == null && step.repaired == null && step.salvaged == null

  go_restart = step.agree_restart != null || !var.ask && local.try_restart
  go_repair  = step.agree_repair != null || !var.ask && local.try_repair
  go_salvage = step.agree_salvage != null || !var.ask && local.try_salvage
  go_restore = step.agree_restore != null || !var.ask && local.try_restore
}

# First rung: nothing keeps etcd from starting, it loses nothing.
step "confirm" "agree_restart" {
  description = "Ask before this cure. To pass it over: runbook resume --skip agree_restart --reason …"
  when        = var.ask && local.try_restart
  message     = "Start etcd on its data as it is? ${local.losses.restart}"
}

step "systemd_unit" "start_restarted" {
  description = "Start etcd on its data as it is."
  when        = local.go_restart && !local.pod
  on_failure  = "continue"
  unit        = var.unit
  state       = "started"
  timeout     = "3m"
}

step "static_pod_move" "start_pod_restarted" {
  description = "Start etcd on its data as it is."
  when        = local.go_restart && local.pod
  on_failure  = "continue"
  from        = local.stopped
  to          = local.folder
  pods        = ["etcd"]
  timeout     = "5m"
}

step "etcd_health" "restarted" {
  description = "Wait until etcd answers reads that need a leader, and see that it is this data."
  when        = step.start_restarted != null || step.start_pod_restarted != null
  on_failure  = "continue"
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  retry {
    attempts = 60
    delay    = "1s"
  }

  postcondition {
    condition     = self.revision >= data.etcd_diagnosis.now.revision
    error_message = "etcd is healthy at revision ${self.revision}, and its data had revision ${data.etcd_diagnosis.now.revision}: it isn't that data."
  }
}

# Second rung: a torn tail of the log, files that belong to somebody else.
step "confirm" "agree_repair" {
  description = "Ask before this cure. To pass it over: runbook resume --skip agree_repair --reason …"
  when        = var.ask && local.try_repair
  message     = "Mend etcd's files (${local.mend})? ${local.losses.repair}"
}

step "systemd_unit" "stop_before_repair" {
  description = "Stop what the cure before has started in vain."
  when        = local.go_repair && !local.pod
  unit        = var.unit
  state       = "stopped"
}

step "static_pod_move" "stop_pod_before_repair" {
  description = "Stop what the cure before has started in vain."
  when        = local.go_repair && local.pod
  from        = local.folder
  to          = local.stopped
  pods        = ["etcd"]
}

step "etcd_wal_repair" "repair" {
  description = "Cut the tail off, on a copy that takes the file's place."
  when        = local.go_repair && local.tail
  on_failure  = "continue"
  member      = data.etcd_member.this
}

step "chown" "own_data" {
  description = "Give the data to the user that etcd runs as."
  when        = local.go_repair && local.owner
  on_failure  = "continue"
  path        = data.etcd_member.this.data_dir
  owner       = local.of_owner
  recursive   = true
}

step "chown" "own_log" {
  description = "Likewise the log, where it has a directory of its own."
  when        = local.go_repair && local.owner
  on_failure  = "continue"
  path        = data.etcd_diagnosis.now.wal_dir
  owner       = local.of_owner
  recursive   = true
}

step "systemd_unit" "start_repaired" {
  description = "Start etcd on the repaired files."
  when        = (step.repair != null || step.own_data != null) && !local.pod
  on_failure  = "continue"
  unit        = var.unit
  state       = "started"
  timeout     = "3m"
}

step "static_pod_move" "start_pod_repaired" {
  description = "Start etcd on the repaired files."
  when        = (step.repair != null || step.own_data != null) && local.pod
  on_failure  = "continue"
  from        = local.stopped
  to          = local.folder
  pods        = ["etcd"]
  timeout     = "5m"
}

step "etcd_health" "repaired" {
  description = "Wait until etcd answers reads that need a leader, and see that it is this data."
  when        = step.start_repaired != null || step.start_pod_repaired != null
  on_failure  = "continue"
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  retry {
    attempts = 60
    delay    = "1s"
  }

  postcondition {
    condition     = self.revision >= data.etcd_diagnosis.now.revision
    error_message = "etcd is healthy at revision ${self.revision}, and its data had revision ${data.etcd_diagnosis.now.revision}: it isn't that data."
  }
}

# Third rung: the database itself, with what the log still adds to it.
step "confirm" "agree_salvage" {
  description = "Ask before this cure. To pass it over: runbook resume --skip agree_salvage --reason …"
  when        = var.ask && local.try_salvage
  message     = "Make a new data directory from the database and the log? ${local.losses.salvage}"
}

step "systemd_unit" "stop_before_salvage" {
  description = "Stop what the cure before has started in vain."
  when        = local.go_salvage && !local.pod
  unit        = var.unit
  state       = "stopped"
}

step "static_pod_move" "stop_pod_before_salvage" {
  description = "Stop what the cure before has started in vain."
  when        = local.go_salvage && local.pod
  from        = local.folder
  to          = local.stopped
  pods        = ["etcd"]
}

step "etcd_salvage" "salvage" {
  description = "Build a new data directory from the old one's database, replay the log, and swap the two."
  when        = local.go_salvage
  on_failure  = "continue"
  member      = data.etcd_member.this
}

step "systemd_unit" "start_salvaged" {
  description = "Start etcd on the salvaged data."
  when        = step.salvage != null && !local.pod
  on_failure  = "continue"
  unit        = var.unit
  state       = "started"
  timeout     = "3m"
}

step "static_pod_move" "start_pod_salvaged" {
  description = "Start etcd on the salvaged data."
  when        = step.salvage != null && local.pod
  on_failure  = "continue"
  from        = local.stopped
  to          = local.folder
  pods        = ["etcd"]
  timeout     = "5m"
}

step "etcd_health" "salvaged" {
  description = "Wait until etcd answers reads that need a leader, and see that it is this data."
  when        = step.start_salvaged != null || step.start_pod_salvaged != null
  on_failure  = "continue"
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  retry {
    attempts = 60
    delay    = "1s"
  }

  postcondition {
    condition     = self.revision >= step.salvage.revision
    error_message = "etcd is healthy at revision ${self.revision}, and its data had revision ${step.salvage.revision}: it isn't that data."
  }
}

# Last rung: the newest good backup.
step "confirm" "agree_restore" {
  description = "Ask before this cure. To pass it over: runbook resume --skip agree_restore --reason …"
  when        = var.ask && local.try_restore
  message     = "Restore ${data.etcd_backups.all.newest}, and lose what was written since? ${local.losses.restore} Lost: ${data.etcd_loss.if_restored.summary}"
}

step "systemd_unit" "stop_before_restore" {
  description = "Stop what the cure before has started in vain."
  when        = local.go_restore && !local.pod
  unit        = var.unit
  state       = "stopped"
}

step "static_pod_move" "stop_pod_before_restore" {
  description = "Stop what the cure before has started in vain."
  when        = local.go_restore && local.pod
  from        = local.folder
  to          = local.stopped
  pods        = ["etcd"]
}

step "etcd_snapshot_restore" "restore" {
  description = "Build a new data directory from the backup, check it, and swap the two."
  when        = local.go_restore
  snapshot    = data.etcd_backups.all.newest
  member      = data.etcd_member.this
}

step "systemd_unit" "start_restored" {
  description = "Start etcd on the restored data."
  when        = step.restore != null && !local.pod
  unit        = var.unit
  state       = "started"
  timeout     = "3m"
}

step "static_pod_move" "start_pod_restored" {
  description = "Start etcd on the restored data."
  when        = step.restore != null && local.pod
  from        = local.stopped
  to          = local.folder
  pods        = ["etcd"]
  timeout     = "5m"
}

# Whatever the cure was.
step "etcd_health" "healthy" {
  description = "etcd answers, with whichever cure."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls

  retry {
    attempts = 60
    delay    = "1s"
  }
}

step "etcd_compare" "all_keys_back" {
  description = "Healthy does not mean that the data is back: compare every key with the backup."
  when        = step.restore != null
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
  snapshot    = data.etcd_backups.all.newest
  revision    = step.restore.revision
}

step "static_pod_move" "start_pods" {
  description = "Start the rest of the control plane."
  when        = local.pod && length(var.pods) > 1
  from        = local.stopped
  to          = local.folder
  pods        = local.others
  timeout     = "10m"
}

locals {
  cure = (step.restarted != null ? "restart" : step.repaired != null ? "repair" :
  step.salvaged != null ? "salvage" : "restore")
}

output "found" {
  description = "The classes of damage that the diagnosis found."
  value       = data.etcd_diagnosis.now.classes
}

output "cure" {
  description = "The cure that worked."
  value       = local.cure
}

output "lost" {
  description = "What it lost, in words."
  value       = local.cure == "restore" ? data.etcd_loss.if_restored.summary : lookup(local.lost, local.cure, "nothing")
}

output "revision" {
  description = "The revision at which etcd serves."
  value       = step.healthy.revision
}

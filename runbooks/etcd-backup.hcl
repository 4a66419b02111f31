runbook "etcd-backup" {
  description = "Save a snapshot of a running etcd, and prove that it is whole."
}

variable "unit" {
  description = "The systemd unit that runs etcd."
  type        = string
  default     = "etcd.service"
}

variable "backup_dir" {
  description = "Directory that holds the snapshots."
  type        = string
  default     = "/var/backups/etcd"
}

data "etcd_member" "this" {
  unit = var.unit
}

locals {
  name = "backup-${formatdate("YYYYMMDD-hhmmss", run.started)}.db"
}

step "etcd_health" "healthy" {
  description = "A backup is only worth taking of an etcd that answers."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
}

step "etcd_snapshot_save" "save" {
  description = "Save the snapshot beside its name, verify it, then give it its name."
  endpoints   = data.etcd_member.this.client_urls
  tls         = data.etcd_member.this.tls
  path        = "${var.backup_dir}/${local.name}"
  timeout     = "10m"

  precondition {
    condition     = path(var.backup_dir).type == "directory"
    error_message = "The backup directory ${var.backup_dir} doesn't exist. Create it, or name another with --var backup_dir=…"
  }
}

step "etcd_snapshot_verify" "verify" {
  description = "Read it back from the disk: checksum, structure, revision."
  path        = step.save.path
}

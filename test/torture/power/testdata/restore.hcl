runbook "restore" {}

variable "dir" { type = string }

step "etcd_snapshot_restore" "restore" {
  snapshot = "${var.dir}/backup/backup-1.db"
  data_dir = "${var.dir}/etcd"
  wal_dir  = "${var.dir}/wal"
  name     = "m1"

  initial_advertise_peer_urls = ["http://127.0.0.1:2380"]
  initial_cluster             = "m1=http://127.0.0.1:2380"
  initial_cluster_token       = "restored"
  bump_revision               = 1000
}

step "chown" "own_data" {
  path      = "${var.dir}/etcd"
  owner     = "1234:1234"
  recursive = true
}

runbook "files" {}

variable "dir" { type = string }

step "make_directory" "room" {
  path    = "${var.dir}/srv/data/room"
  mode    = "0750"
  owner   = "1234:1234"
  parents = true
}

step "write_file" "replace_settings" {
  path    = "${var.dir}/etc/settings"
  content = join("\n", [for i in range(400) : "setting ${i} = ${i * i}"])
  mode    = "0640"
}

step "write_file" "new_settings" {
  path    = "${var.dir}/etc/more"
  content = "more\n"
  owner   = "1234:1234"
}

step "copy" "save" {
  from = "${var.dir}/data"
  to   = "${var.dir}/backup/data"
}

step "copy" "replace_standby" {
  from    = "${var.dir}/data"
  to      = "${var.dir}/standby"
  replace = true
}

step "move" "aside" {
  from = "${var.dir}/data"
  to   = "${var.dir}/srv/data/old"
}

step "chown" "give" {
  path      = "${var.dir}/standby"
  owner     = "4321:4321"
  recursive = true
}

step "make_directory" "close_etc" {
  path = "${var.dir}/etc"
  mode = "0700"
}

step "archive" "pack" {
  path    = "${var.dir}/backup/keys.tar.gz"
  sources = ["${var.dir}/keys"]
  copies  = ["${var.dir}/etc"]
}

step "remove" "stale" {
  path = "${var.dir}/stale"
}

# Becomes the supervisor of a throw-away host. It runs as PID 1 of a PID
# namespace and in a mount namespace of its own: when it dies, by whatever
# means, every process of the host and every mount made here are gone.
#
#   boot.sh STAGE NAME CGROUPS -- NSPAWN-OPTION...
#
# STAGE is an empty directory to build in; CGROUPS is a list, separated by
# colons, of cgroups to move into.
set -eu

stage=$1 name=$2 cgroups=$3
shift 4

join_cgroups() {
	IFS=:
	for group in $cgroups; do
		echo 0 >"$group/cgroup.procs"
	done
	unset IFS
}

# nspawn keeps locks and sockets here. The machine's own stay as they are.
hide_nspawn_state() {
	mkdir -p /run/systemd/nspawn
	mount -t tmpfs -o mode=0755 tmpfs /run/systemd/nspawn
	mkdir /run/systemd/nspawn/propagate
}

# overlay DIR lays a writable layer over the machine's DIR.
layers=0
overlay() {
	layers=$((layers + 1))
	mkdir "$stage/upper$layers" "$stage/work$layers"
	mount -t overlay overlay \
		-o "lowerdir=$1,upperdir=$stage/upper$layers,workdir=$stage/work$layers" \
		"$root$1"
}

build_root() {
	mount -t tmpfs -o mode=0755 tmpfs "$stage"
	root=$stage/root
	mkdir "$root"
	overlay /
	# An overlay shows one file system only, and some machines have several.
	for dir in /usr /etc /var /opt /home /root; do
		if mountpoint -q "$dir"; then overlay "$dir"; fi
	done
}

# Forget what the machine's administrator enabled, mounts and names: the host
# is a plain one, whatever machine it lies over.
make_plain() {
	etc=$root/etc
	rm -rf "$etc/systemd" "$etc/init.d" "$etc/rc.local" "$etc/crypttab" "$etc/modules-load.d"
	mkdir -p "$etc/systemd/system"
	: >"$etc/fstab"
	rm -f "$etc/machine-id" "$etc/hostname"
	tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
	echo "$name" >"$etc/hostname"
}

# mask UNIT... keeps units from ever running. systemd-tmpfiles is among them
# for safety: it empties /tmp, in which directories of the machine are bound.
mask() {
	for unit; do
		ln -s /dev/null "$root/etc/systemd/system/$unit"
	done
}

add_target() {
	cat >"$root/etc/systemd/system/$1" <<-'EOF'
		[Unit]
		Description=All that a throw-away host has
		Requires=sysinit.target dbus.socket
		After=sysinit.target dbus.socket
		AllowIsolate=yes
	EOF
}

join_cgroups
hide_nspawn_state
build_root
make_plain
mask systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service \
	systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-clean.timer \
	systemd-firstboot.service systemd-repart.service tmp.mount \
	systemd-networkd.socket systemd-oomd.socket
add_target throwaway.target

exec systemd-nspawn --quiet --register=no --keep-unit --link-journal=no \
	--directory="$root" --machine="$name" --private-network "$@" \
	--boot -- --unit=throwaway.target

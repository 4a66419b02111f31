package disasters

import (
	"regexp"

	"runbook/test/disaster"
)

const functions = `
data=/var/lib/etcd unit=/usr/lib/systemd/system/etcd.service
# etcd is started for as often as systemd lets it.
fails() {
	systemctl start etcd.service || true
	until systemctl is-failed --quiet etcd.service; do sleep 0.1; done
}
# Somebody else listens at its port.
taken() { until grep -q ':094B .* 0A ' /proc/net/tcp; do sleep 0.1; done; }
overwrite() { dd if=/dev/urandom of=$data/member/snap/db bs=1M count=1 conv=notrunc; rm -r $data/member/wal; }
`

// catalogue is every disaster.
func catalogue() []*disaster.Disaster {
	all := append(ofData(), ofUnit()...)
	for _, d := range all {
		d.Break = functions + d.Break
	}
	return all
}

// mended is what is taken where the data wants no cure: etcd is started, or left
// alone where it runs.
var mended = []string{"restart", "none"}

// byHand is a recovery that says what to do, and waits for that.
func byHand(says, does string) *disaster.Blocked {
	return &disaster.Blocked{Says: regexp.MustCompile(says), Type: does}
}

// The data, and where it is.
func ofData() []*disaster.Disaster {
	return []*disaster.Disaster{{
		Name:  "log-cut",
		Break: `systemctl stop etcd; truncate --size=0 $data/member/wal/*.wal; fails`, Quick: true,
		Finds: []string{"wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "db-overwritten-log-gone",
		Break: `systemctl stop etcd; overwrite; fails`, Quick: true,
		Finds: []string{"db_meta_both"}, Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name:  "owner-changed",
		Break: `systemctl stop etcd; chown -R root:root $data; fails`, Quick: true,
		Finds: []string{"ownership"}, Cures: []string{"repair"}, Loses: disaster.Nothing,
	}, {
		Name:  "data-moved-beside",
		Break: `systemctl stop etcd; mv $data $data.old; fails`, Quick: true,
		Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}, {
		Name:  "data-moved-beside-and-begun-anew",
		Break: `systemctl stop etcd; mv $data $data.old; install -d -o etcd -g etcd -m 0700 $data; systemctl start etcd`,
		Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}, {
		Name:  "data-moved-elsewhere-and-begun-anew",
		Break: `systemctl stop etcd; mv $data /srv/etcd; install -d -o etcd -g etcd -m 0700 $data; systemctl start etcd`,
		Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}, {
		Name:  "old-directory-beside-backups-damaged",
		Break: `systemctl stop etcd; cp -a $data $data.before-20260102-030405-abcd; for f in /var/backups/etcd/*.db; do truncate --size=20K $f; done; overwrite; fails`,
		Cures: []string{"salvage"}, Loses: disaster.Nothing, Quick: true,
	}}
}

// The unit, and what it needs.
func ofUnit() []*disaster.Disaster {
	const taker = `/usr/bin/systemd-socket-activate --accept --listen=127.0.0.1:2379 /bin/cat`
	return []*disaster.Disaster{{
		Name:  "killed-until-systemd-gave-up",
		Break: `until systemctl is-failed --quiet etcd.service; do pkill -KILL -x etcd || true; done`,
		Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "unit-masked",
		Break: `systemctl mask --now etcd.service`, Quick: true,
		Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "flag-misspelt",
		Break: `sed -i s/--listen-peer-urls/--listen-peers-urls/ $unit; systemctl daemon-reload; systemctl stop etcd; fails`, Quick: true,
		Cures:   mended,
		Loses:   disaster.Nothing,
		Blocked: byHand(`Type: (sed -i .* && systemctl daemon-reload)`, ""),
	}, {
		Name:    "program-missing",
		Break:   `systemctl stop etcd; mv /usr/bin/etcd /root/etcd; fails`,
		Cures:   mended,
		Loses:   disaster.Nothing,
		Blocked: byHand(`/usr/bin/etcd`, `mv /root/etcd /usr/bin/etcd`),
	}, {
		Name:    "port-taken-by-a-process",
		Break:   `systemctl stop etcd; setsid ` + taker + ` >/dev/null 2>&1 </dev/null & taken; fails`,
		Cures:   mended,
		Loses:   disaster.Nothing,
		Blocked: byHand(`(kill (?:-\S+ )?\d+)`, ""),
	}, {
		Name: "port-taken-by-a-unit",
		Break: `systemctl stop etcd; printf '[Service]\nExecStart=` + taker + `\nRestart=always\n' >/etc/systemd/system/etcd-old.service
			systemctl daemon-reload; systemctl start etcd-old.service; taken; fails`,
		Cures: mended, Loses: disaster.Nothing,
	}}
}

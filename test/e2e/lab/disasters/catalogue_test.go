package disasters

import (
	"regexp"
	"slices"

	"runbook/test/disaster"
)

// catalogue is every disaster, those last that leave nothing to be broken
// further.
func catalogue() []*disaster.Disaster {
	all := slices.Concat(ofData(), ofPlaces(), ofKubelet(), ofManifests(), ofCertificates(), ofHost(), ofPairs())
	for _, d := range all {
		d.Setup, d.Break, d.Mend = functions+d.Setup, functions+d.Break, functions+d.Mend
	}
	slices.SortStableFunc(all, func(a, b *disaster.Disaster) int {
		switch {
		case a.Spoils == b.Spoils:
			return 0
		case a.Spoils:
			return 1
		}
		return -1
	})
	return all
}

// mended is what is taken where the data wants no cure: etcd is started, or left
// alone where it runs.
var mended = []string{"restart", "none"}

// byHand is a recovery that says what to do, and waits for that.
func byHand(says, does string) *disaster.Blocked {
	return &disaster.Blocked{Says: regexp.MustCompile(says), Type: does}
}

// The data itself.
func ofData() []*disaster.Disaster {
	const cut = `truncate --size=0 $data/member/wal/*.wal; `
	return []*disaster.Disaster{{
		Name:  "log-cut",
		Break: cut + `crash 1`, Quick: true,
		Finds: []string{"wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "log-cut-kubelet-waits-1m",
		Break: cut + `crash 4`,
		Finds: []string{"wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "log-cut-kubelet-waits-3m",
		Break: cut + `crash 5`,
		Finds: []string{"wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "log-cut-kubelet-waits-5m",
		Break: cut + `crash 6`,
		Finds: []string{"wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "log-gone",
		Break: `halt; rm -r $data/member/wal; systemctl start kubelet; until pgrep -x etcd; do sleep 0.1; done`,
		Finds: []string{"wal_cut"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "db-overwritten-log-gone",
		Break: `dd if=/dev/urandom of=$data/member/snap/db bs=1M count=1 conv=notrunc; rm -r $data/member/wal; crash 1`, Quick: true,
		Finds: []string{"db_meta_both", "wal_missing"}, Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name:  "db-cut-log-gone",
		Break: `truncate --size=100K $data/member/snap/db; rm -r $data/member/wal; crash 1`,
		Finds: []string{"db_truncated", "wal_missing"}, Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name:  "member-is-a-file",
		Break: `rm -r $data/member; touch $data/member; crash 1`,
		Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name:  "data-gone",
		Break: `rm -r $data; slay etcd; empty`,
		Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name:  "owner-changed",
		Break: `chown -R 4711:4711 $data; slay etcd`,
		Cures: []string{"repair", "restart", "none"}, Loses: disaster.Nothing,
	}, {
		Name:  "owner-changed-kubelet-stopped",
		Break: `halt; chown -R 4711:4711 $data`,
		Finds: []string{"kubelet_stopped", "ownership"}, Cures: []string{"repair", "restart"}, Loses: disaster.Nothing,
	}}
}

// Where the data is.
func ofPlaces() []*disaster.Disaster {
	return []*disaster.Disaster{{
		Name:  "data-moved-beside",
		Break: `mv $data $data.old; slay etcd; empty`, Quick: true,
		Finds: []string{"foreign_directory"}, Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}, {
		Name:  "data-moved-beside-kubelet-stopped",
		Break: `halt; mv $data $data.old`,
		Finds: []string{"kubelet_stopped"}, Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}, {
		Name:  "data-moved-elsewhere",
		Break: `mv $data /srv/etcd; slay etcd; empty`,
		Finds: []string{"foreign_directory"}, Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}, {
		// etcd may have served more since than such a directory holds, for which a
		// salvage allows.
		Name:  "data-in-undone-directory-backups-damaged",
		Break: `halt; cp -a $data $data.undone-20260102-030405-abcd; for f in /var/backups/etcd/*.db; do truncate --size=50K $f; done; dd if=/dev/urandom of=$data/member/snap/db bs=1M count=1 conv=notrunc; rm -r $data/member/wal; systemctl start kubelet; said etcd panic`,
		Finds: []string{"db_meta_both", "backup_damaged"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "old-directory-beside-backups-damaged",
		Break: `halt; cp -a $data $data.before-20260102-030405-abcd; rm /var/backups/etcd/*.db; rm -r $data/member; systemctl start kubelet; empty`,
		Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "manifest-points-elsewhere",
		Break: `sed -i s,/var/lib/etcd,/var/lib/etcd-new,g $pods/etcd.yaml; until [ -e $data-new/member ]; do sleep 0.2; done; empty`,
		Cures: []string{"adopt", "restart"}, Loses: disaster.Nothing, Spoils: true,
	}}
}

// What runs the pods.
func ofKubelet() []*disaster.Disaster {
	return []*disaster.Disaster{{
		Name:  "kubelet-stopped",
		Break: `halt`,
		Finds: []string{"kubelet_stopped"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "kubelet-masked",
		Break: `halt; systemctl mask kubelet`, Quick: true,
		Finds: []string{"kubelet_masked"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "kubelet-cannot-start",
		Break: `halt; cp /var/lib/kubelet/config.yaml /root/config.yaml; echo 'nonsense: [' >>/var/lib/kubelet/config.yaml; systemctl start kubelet`,
		Finds: []string{"kubelet_failing"}, Cures: mended, Loses: disaster.Nothing,
		Blocked: byHand(`/var/lib/kubelet/config.yaml`, `cp /root/config.yaml /var/lib/kubelet/config.yaml && systemctl restart kubelet`),
	}, {
		Name:  "containerd-stopped",
		Break: `systemctl stop containerd; slay etcd kube-apiserver; gone`,
		Finds: []string{"runtime_stopped"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "containerd-socket-gone",
		Break: `rm /run/containerd/containerd.sock; slay etcd kube-apiserver; gone`,
		Finds: []string{"runtime_socket_gone"}, Cures: mended, Loses: disaster.Nothing,
	}}
}

// What says how etcd is run.
func ofManifests() []*disaster.Disaster {
	return []*disaster.Disaster{{
		Name:  "manifest-missing",
		Break: `aside; rm /root/etcd.yaml`, Quick: true,
		Finds: []string{"manifest_missing"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "manifest-set-aside",
		Break: `aside; mv /root/etcd.yaml /etc/kubernetes/etcd.yaml`,
		Finds: []string{"manifest_missing"}, Cures: mended, Loses: disaster.Nothing,
		Mend: `rm -f /etc/kubernetes/etcd.yaml`,
	}, {
		Name:  "manifest-unreadable",
		Break: `printf 'apiVersion: v1\nkind: [Pod\n' >$pods/etcd.yaml; slay etcd; gone`,
		Finds: []string{"manifest_invalid"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "manifest-twice-log-cut",
		Break: `cp $pods/etcd.yaml $pods/etcd-old.yaml; truncate --size=0 $data/member/wal/*.wal; slay etcd; said etcd panic`,
		Finds: []string{"second_manifest", "wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "flag-misspelt",
		Break: `sed -i s,--listen-metrics-urls,--listen-metric-urls, $pods/etcd.yaml; said etcd listen-metric-urls; gone`, Quick: true,
		Finds: []string{"unknown_flag"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name: "image-missing",
		Break: `image=$(sed -n 's/.*image: //p' $pods/etcd.yaml); ctr -n k8s.io images export /root/etcd.tar $image
			halt; for id in $(ctr -n k8s.io containers ls -q "image==$image"); do ctr -n k8s.io containers rm $id; done
			digest=$(ctr -n k8s.io images ls | awk -v image=$image '$1 == image { print $3 }')
			ctr -n k8s.io images ls | awk -v digest=$digest '$3 == digest { print $1 }' | xargs ctr -n k8s.io images rm
			systemctl start kubelet; pulls`,
		Finds: []string{"image_missing"}, Cures: mended, Loses: disaster.Nothing, Spoils: true,
		Blocked: byHand(`registry.k8s.io/etcd:`, `ctr -n k8s.io images import /root/etcd.tar`),
	}, {
		Name:  "image-tag-misspelt",
		Break: `sed -i 's,\(image: .*/etcd:\).*,\13.99.99-0,' $pods/etcd.yaml; pulls`,
		Finds: []string{"image_missing"}, Cures: mended, Loses: disaster.Nothing,
		Blocked: byHand(`(sed -i '[^']+' \S+)`, ""),
	}, {
		Name: "memory-limit",
		Break: `sed -i 's/^      requests:/      limits:\n        memory: 14Mi\n      requests:/; s/memory: 100Mi/memory: 14Mi/' $pods/etcd.yaml
			slay etcd; from=$(attempt); until [ $(attempt) -ge 1 ] && ! pgrep -x etcd; do sleep 0.2; done`,
		Finds: []string{"out_of_memory"}, Cures: mended, Loses: disaster.Nothing,
		Blocked: byHand(`memory`, `sed -i s/14Mi/100Mi/ /etc/kubernetes/manifests/etcd.yaml`),
	}}
}

// Certificates.
func ofCertificates() []*disaster.Disaster {
	const renewed = `slay etcd kube-apiserver; said kube-apiserver `
	return []*disaster.Disaster{{
		Name:  "certificate-missing",
		Break: `rm $pki/etcd/server.crt; crash 1`,
		Finds: []string{"pki_lost"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "key-missing",
		Break: `rm $pki/etcd/server.key; crash 1`,
		Finds: []string{"pki_lost"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "certificate-and-archive-missing",
		Break: `rm $pki/etcd/server.crt $pki/etcd/server.key /var/backups/etcd/*.tar.gz; crash 1`,
		Finds: []string{"pki_lost"}, Cures: mended, Loses: disaster.Nothing,
		Blocked: byHand(`Type: ([^:]*kubeadm init phase certs etcd-server)`, ""),
	}, {
		Name:  "certificate-expired",
		Break: `cp /root/certs/expired.crt $pki/etcd/server.crt; ` + renewed + `expired`, Quick: true,
		Finds: []string{"certificate_expired"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "certificate-not-yet-valid",
		Break: `cp /root/certs/not-yet.crt $pki/etcd/server.crt; ` + renewed + `"not yet valid"`,
		Finds: []string{"certificate_not_yet_valid"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "certificate-of-another-ca",
		Break: `cp /root/certs/other-ca.crt $pki/etcd/server.crt; ` + renewed + `"unknown authority"`,
		Finds: []string{"certificate_other_ca"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "certificate-without-the-address",
		Break: `cp /root/certs/no-address.crt $pki/etcd/server.crt; ` + renewed + `"is valid for"`,
		Finds: []string{"certificate_name"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "certificate-unreadable",
		Break: `echo gibberish >$pki/etcd/server.crt; crash 1`,
		Finds: []string{"certificate_unreadable"}, Cures: mended, Loses: disaster.Nothing,
	}, {
		Name:  "client-certificate-expired",
		Break: `cp /root/certs/client-expired.crt $pki/apiserver-etcd-client.crt; slay kube-apiserver; said etcd expired`,
		Finds: []string{"certificate_expired"}, Cures: mended, Loses: disaster.Nothing,
	}}
}

// The host around it.
func ofHost() []*disaster.Disaster {
	const taker = `/usr/bin/systemd-socket-activate --accept --listen=127.0.0.1:2379 /bin/cat`
	const inUse = `back; said etcd "address already in use"`
	return []*disaster.Disaster{{
		Name:  "clock-behind",
		Break: `halt; touch --date=tomorrow $data/member/wal/*.wal`,
		Finds: []string{"clock_wrong"}, Cures: mended, Loses: disaster.Nothing,
		// The machine's own clock can't be set back, so time has to pass for the files.
		Blocked: byHand(`timedatectl|date -s`, `touch /var/lib/etcd/member/wal/*.wal`),
	}, {
		Name:  "port-taken-by-a-process",
		Break: `aside; setsid ` + taker + ` >/dev/null 2>&1 </dev/null & ` + inUse,
		Finds: []string{"port_taken"}, Cures: mended, Loses: disaster.Nothing,
		Blocked: byHand(`(kill (?:-\S+ )?\d+)`, ""),
	}, {
		Name: "port-taken-by-a-unit",
		Break: `aside; printf '[Service]\nExecStart=` + taker + `\nRestart=always\n' >/etc/systemd/system/etcd.service
			systemctl daemon-reload; systemctl start etcd.service; ` + inUse,
		Finds: []string{"port_taken"}, Cures: mended, Loses: disaster.Nothing, Spoils: true,
	}, {
		Name:  "own-name-unknown-log-cut",
		Break: `halt; sed -i /cp1/d /etc/hosts; echo nameserver 198.18.0.99 >/etc/resolv.conf; truncate --size=0 $data/member/wal/*.wal; systemctl start kubelet; said etcd panic`,
		Finds: []string{"name_unresolved", "wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing, Spoils: true,
	}, {
		Name:  "disk-full",
		Setup: `disk size=400m`,
		Break: `dd if=/dev/zero of=$data/core bs=1M count=200
			while head -c 1000000 /dev/zero | tr '\0' x | etcdctl $keys put filler; do :; done; gone`,
		Finds: []string{"disk_full"}, Cures: mended, Loses: disaster.Nothing, Spoils: true,
		Blocked: byHand(`/var/lib/etcd`, `rm /var/lib/etcd/core`),
	}, {
		Name:  "inodes-used-up",
		Setup: `disk size=400m,nr_inodes=64`,
		Break: `i=0; while touch $data/$i; do i=$((i + 1)); done; crash 1`,
		Finds: []string{"disk_full"}, Cures: mended, Loses: disaster.Nothing, Spoils: true,
		Blocked: byHand(`/var/lib/etcd`, `rm /var/lib/etcd/[0-9]*`),
	}, {
		Name:  "quota-exceeded",
		Setup: `sed -i 's,    - --name=,    - --quota-backend-bytes=20000000\n&,' $pods/etcd.yaml; until grep -q quota-backend-bytes=20000000 /proc/$(pgrep -x etcd)/cmdline; do sleep 0.2; done`,
		Break: `while head -c 1000000 /dev/zero | tr '\0' x | etcdctl $keys put filler; do :; done`,
		Finds: []string{"alarm"}, Cures: mended, Loses: disaster.Nothing, Spoils: true,
		Blocked: byHand(`alarm disarm`, `export ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 ETCDCTL_CACERT=/etc/kubernetes/pki/etcd/ca.crt ETCDCTL_CERT=/etc/kubernetes/pki/etcd/server.crt ETCDCTL_KEY=/etc/kubernetes/pki/etcd/server.key
			etcdctl compact $(etcdctl get / --write-out=fields | sed -n 's/"Revision" : //p') && etcdctl defrag && etcdctl alarm disarm`),
	}}
}

// Two at once.
func ofPairs() []*disaster.Disaster {
	return []*disaster.Disaster{{
		Name:  "certificate-expired-log-cut",
		Break: `cp /root/certs/expired.crt $pki/etcd/server.crt; truncate --size=0 $data/member/wal/*.wal; slay kube-apiserver; crash 1`,
		Finds: []string{"certificate_expired", "wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "manifest-missing-log-cut",
		Break: `aside; rm /root/etcd.yaml; truncate --size=0 $data/member/wal/*.wal`,
		Finds: []string{"manifest_missing", "wal_truncated"}, Cures: []string{"salvage"}, Loses: disaster.Nothing,
	}, {
		Name:  "containerd-stopped-db-overwritten",
		Break: `dd if=/dev/urandom of=$data/member/snap/db bs=1M count=1 conv=notrunc; rm -r $data/member/wal; systemctl stop containerd; slay etcd kube-apiserver; gone`,
		Finds: []string{"runtime_stopped", "db_meta_both"}, Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name: "flag-misspelt-newest-backup-damaged-db-overwritten",
		Break: `newest=$(ls -t /var/backups/etcd/*.db | head -n 1); cp $newest /var/backups/etcd/backup-20300102-030405-abcd.db; truncate --size=50K /var/backups/etcd/backup-20300102-030405-abcd.db
			dd if=/dev/urandom of=$data/member/snap/db bs=1M count=1 conv=notrunc; rm -r $data/member/wal
			sed -i s,--listen-metrics-urls,--listen-metric-urls, $pods/etcd.yaml; said etcd listen-metric-urls; gone`,
		Finds: []string{"unknown_flag", "backup_damaged", "db_meta_both"}, Cures: []string{"restore"}, Loses: disaster.SinceBackup,
	}, {
		Name:  "certificate-missing-data-moved-beside",
		Break: `rm $pki/etcd/server.crt; mv $data $data.old; crash 1`,
		Finds: []string{"pki_lost"}, Cures: []string{"adopt"}, Loses: disaster.Nothing,
	}}
}

package disasters

// functions are what the scripts that break a control plane have in common. Where
// they wait it is for kubelet, and in the host: what they stop is the host's own.
const functions = `
pods=/etc/kubernetes/manifests pki=/etc/kubernetes/pki data=/var/lib/etcd
keys="--cacert=$pki/etcd/ca.crt --cert=$pki/apiserver-etcd-client.crt --key=$pki/apiserver-etcd-client.key"
export ETCDCTL_ENDPOINTS=https://127.0.0.1:2379
began=$(date +%s)

slay() { for name; do pkill -KILL -x $name || true; done; }
gone() { while pgrep -x etcd >/dev/null; do sleep 0.1; done; }

# What ran is dead and nothing starts it, as after a power cut.
halt() {
	systemctl stop kubelet
	for id in $(ctr -n k8s.io tasks ls -q); do ctr -n k8s.io tasks kill -a -s KILL $id || true; done
	gone
}

# Where the newest log of a static pod's container is, and how often kubelet had
# started it before.
logs() { dirname "$(ls -t /var/log/pods/kube-system_$1-*/$1/*.log | head -n 1)"; }
attempt() { ls $(logs etcd) | sort -n | tail -n 1 | cut -d. -f1; }

# A static pod's container has said something.
said() { until tail -qn 200 $(logs $1)/*.log | grep -qe "$2"; do sleep 0.2; done; }

# etcd dies, and so it does the next times that kubelet starts it.
crash() {
	from=$(attempt)
	slay etcd
	until [ $(attempt) -ge $((from + $1)) ] && ! pgrep -x etcd >/dev/null; do sleep 0.2; done
}

# etcd serves, and has nothing of what was written.
empty() { until etcdctl $keys get /ledger/ --prefix --count-only --write-out=fields 2>/dev/null | grep -q '"Count" : 0'; do sleep 0.2; done; }

# kubelet has tried to pull an image, in vain.
pulls() { until journalctl --unit=kubelet --since="@$began" | grep -q ErrImagePull; do sleep 0.2; done; }

# etcd is stopped with its manifest taken away, and begins anew with it.
aside() { mv $pods/etcd.yaml /root/etcd.yaml; gone; }
back() { mv /root/etcd.yaml $pods/etcd.yaml; }

# The data moves to a disk of its own.
disk() {
	aside
	mv $data /root/etcd
	mkdir -m 0700 $data
	mount -t tmpfs -o mode=0700,$1 tmpfs $data
	cp -a /root/etcd/. $data/
	back
	until kubectl --kubeconfig=/etc/kubernetes/admin.conf get --raw=/readyz --request-timeout=2s >/dev/null 2>&1; do sleep 0.2; done
}
`

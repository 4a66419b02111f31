package kubehost

import "fmt"

// A cluster has one node, which kubeadm knows by these.
const (
	Node    = "cp1"
	Address = "198.18.0.11" // of a network for benchmarks, which leads nowhere

	// WebImage answers HTTP on port 8080, or on $PORT, with its pod's name and
	// the path. It holds a program "curl" too. Use it with imagePullPolicy
	// Never: there is nowhere to pull from.
	WebImage = "lab/web:1"

	// AdminConfig is the administrator's kubeconfig in the host.
	AdminConfig = "/etc/kubernetes/admin.conf"

	podSubnet     = "10.244.0.0/24"
	serviceSubnet = "10.96.0.0/16"
	runtimeSocket = "unix:///run/containerd/containerd.sock"
)

// versions are those of what kubeadm installs.
type versions struct{ kubernetes, etcd string }

// kubeadmConfig is what is asked of kubeadm beside its defaults.
func kubeadmConfig(v versions) string {
	return fmt.Sprintf(`apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: %[1]s
nodeRegistration:
  name: %[2]s
  criSocket: %[3]s
  taints: []
  kubeletExtraArgs:
  - name: node-ip
    value: %[1]s
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: %[4]s
networking:
  podSubnet: %[5]s
  serviceSubnet: %[6]s
etcd:
  local:
    imageTag: %[7]s-0
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
resolvConf: /dev/null
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%%
  imagefs.available: 1%%
imageGCHighThresholdPercent: 100
`, Address, Node, runtimeSocket, v.kubernetes, podSubnet, serviceSubnet, v.etcd[1:])
}

// containerdConfig is written for containerd 1.6; later ones understand it.
// This process may lack the right to lower a process's OOM score, and then so
// does runc.
func containerdConfig(pause, plugins string) string {
	return fmt.Sprintf(`version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`, pause, plugins)
}

// network is the pods' network: a bridge on the node.
const network = `{
  "cniVersion": "0.4.0",
  "name": "lab",
  "plugins": [{
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": true,
    "ipam": {
      "type": "host-local",
      "ranges": [[{"subnet": "` + podSubnet + `"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`

const containerdUnit = `[Unit]
Description=containerd

[Service]
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=1
LimitNOFILE=1048576
`

// kubeletUnit is that of Kubernetes' own packages with kubeadm's drop-in, in
// one file.
const kubeletUnit = `[Unit]
Description=kubelet: The Kubernetes Node Agent
After=containerd.service
Wants=containerd.service
StartLimitIntervalSec=0

[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`

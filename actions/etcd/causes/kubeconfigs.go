package causes

import (
	"net/url"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// kubeconfigs are those with which the parts of a control plane reach its API, and
// runbooks.
var kubeconfigs = []string{"admin.conf", "controller-manager.conf", "scheduler.conf", "kubelet.conf"}

const (
	kubernetesCA        = "/etc/kubernetes/pki/ca.crt"
	kubeletsCertificate = "kubelet's certificate"
)

// kubeconfigPairs are the certificates in the kubeconfigs.
func (l *look) kubeconfigPairs() []pair {
	var pairs []pair
	for _, name := range kubeconfigs {
		path := "/etc/kubernetes/" + name
		user := l.userOf(path)
		p := pair{what: "the certificate in " + path, ca: kubernetesCA, issuer: kubernetesCA, within: path,
			certText: user.ClientCertificateData, keyText: user.ClientKeyData}
		if user.ClientCertificate != "" {
			p = pair{what: kubeletsCertificate, ca: kubernetesCA, issuer: kubernetesCA, cert: user.ClientCertificate, key: user.ClientKey}
		}
		if p.cert == "" && len(p.certText) == 0 {
			continue // it isn't there, or proves itself with a token or a program
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// userOf is the first user of a kubeconfig; nobody where it can't be read, which
// is told with the files that are needed.
func (l *look) userOf(path string) clientcmdapi.AuthInfo {
	var c clientcmdapi.Config
	text, err := l.read(path)
	if err != nil || yaml.Unmarshal(text, &c) != nil || len(c.AuthInfos) == 0 {
		return clientcmdapi.AuthInfo{}
	}
	return c.AuthInfos[0].AuthInfo
}

// isKubeconfig reports whether there is a user in a kubeconfig.
func isKubeconfig(text []byte) bool {
	var c clientcmdapi.Config
	return yaml.Unmarshal(text, &c) == nil && len(c.AuthInfos) > 0
}

// hostOf is the host in a URL; empty where there is none.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

package causes

import (
	"net/url"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// kubeconfigs are those with which the parts of a control plane reach its API.
var kubeconfigs = []string{"admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf", "kubelet.conf"}

const (
	kubernetesCA        = "/etc/kubernetes/pki/ca.crt"
	kubeletsCertificate = "kubelet's certificate"
)

// kubeconfigPairs are the certificates in the kubeconfigs.
func (l *look) kubeconfigPairs() []pair {
	var pairs []pair
	for _, name := range kubeconfigs {
		path := "/etc/kubernetes/" + name
		text, err := l.read(path)
		if err != nil {
			continue // told by judgeFile where it has to be there
		}
		var c clientcmdapi.Config
		if yaml.Unmarshal(text, &c) != nil || len(c.AuthInfos) == 0 {
			continue // likewise
		}
		user := c.AuthInfos[0].AuthInfo
		p := pair{what: "the certificate in " + path, ca: kubernetesCA, issuer: kubernetesCA, within: path,
			certText: user.ClientCertificateData, keyText: user.ClientKeyData}
		if user.ClientCertificate != "" {
			p = pair{what: kubeletsCertificate, ca: kubernetesCA, issuer: kubernetesCA, cert: user.ClientCertificate, key: user.ClientKey}
		}
		if p.cert == "" && len(p.certText) == 0 {
			continue // it proves itself with a token or a program
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// hostOf is the host in a URL; empty where there is none.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

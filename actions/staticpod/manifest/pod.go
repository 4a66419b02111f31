// Package manifest reads and edits the manifests of static pods. Its functions
// take bytes and touch no host.
package manifest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"

	"sigs.k8s.io/yaml"
)

// Pod is what of a static pod's manifest tells when it is up.
type Pod struct {
	Name       string
	Namespace  string
	Containers []Container
}

// Container is one of a pod's containers, without those that only prepare it.
type Container struct {
	Name   string
	Probes []Probe // its startup and its readiness probe
	// Etcd says that it runs etcd, without which an API server is of no use.
	Etcd bool
}

// Probe is how a container tells that it is ready.
type Probe struct {
	Scheme  string // "http", "https", "tcp" or "exec"
	Host    string // empty where it is the pod's own address
	Port    int
	Path    string
	Headers [][2]string
	Command []string
	Timeout int // in seconds
}

// document is the part of the manifest that matters here.
type document struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Containers []container `json:"containers"`
	} `json:"spec"`
}

type container struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Ports   []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
	} `json:"ports"`
	StartupProbe   *probe `json:"startupProbe"`
	ReadinessProbe *probe `json:"readinessProbe"`
}

type probe struct {
	HTTPGet *struct {
		Host        string `json:"host"`
		Port        port   `json:"port"`
		Path        string `json:"path"`
		Scheme      string `json:"scheme"`
		HTTPHeaders []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"httpHeaders"`
	} `json:"httpGet"`
	TCPSocket *struct {
		Host string `json:"host"`
		Port port   `json:"port"`
	} `json:"tcpSocket"`
	GRPC *struct {
		Port port `json:"port"`
	} `json:"grpc"`
	Exec *struct {
		Command []string `json:"command"`
	} `json:"exec"`
	TimeoutSeconds int `json:"timeoutSeconds"`
}

// port is a port's number or the name under which the container lists it.
type port string

// UnmarshalJSON implements json.Unmarshaler.
func (p *port) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*p = port(v)
	case float64:
		*p = port(strconv.Itoa(int(v)))
	default:
		return fmt.Errorf("a port is a number or a name, not %s", data)
	}
	return nil
}

// Parse reads a manifest.
func Parse(data []byte) (Pod, error) {
	var d document
	if err := yaml.Unmarshal(data, &d); err != nil {
		return Pod{}, err
	}
	if d.Kind != "Pod" {
		return Pod{}, fmt.Errorf("it describes no Pod (kind %q)", d.Kind)
	}
	if d.Metadata.Name == "" || len(d.Spec.Containers) == 0 {
		return Pod{}, fmt.Errorf("the pod in it has no name or no container")
	}
	p := Pod{Name: d.Metadata.Name, Namespace: d.Metadata.Namespace}
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	for _, c := range d.Spec.Containers {
		probes, err := c.probes()
		if err != nil {
			return Pod{}, err
		}
		etcd := len(c.Command) > 0 && filepath.Base(c.Command[0]) == "etcd" || c.Name == "etcd"
		p.Containers = append(p.Containers, Container{Name: c.Name, Probes: probes, Etcd: etcd})
	}
	return p, nil
}

// Etcd reports whether the pod runs etcd.
func (p Pod) Etcd() bool {
	for _, c := range p.Containers {
		if c.Etcd {
			return true
		}
	}
	return false
}

func (c container) probes() ([]Probe, error) {
	var all []Probe
	for _, written := range []*probe{c.StartupProbe, c.ReadinessProbe} {
		if written == nil {
			continue
		}
		p, err := c.probe(written)
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", c.Name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func (c container) probe(w *probe) (Probe, error) {
	p := Probe{Timeout: max(w.TimeoutSeconds, 1)}
	var at port
	switch {
	case w.HTTPGet != nil:
		p.Scheme, p.Host, p.Path, at = "http", w.HTTPGet.Host, w.HTTPGet.Path, w.HTTPGet.Port
		if w.HTTPGet.Scheme == "HTTPS" {
			p.Scheme = "https"
		}
		for _, h := range w.HTTPGet.HTTPHeaders {
			p.Headers = append(p.Headers, [2]string{h.Name, h.Value})
		}
	case w.TCPSocket != nil:
		p.Scheme, p.Host, at = "tcp", w.TCPSocket.Host, w.TCPSocket.Port
	case w.GRPC != nil:
		p.Scheme, at = "tcp", w.GRPC.Port
	case w.Exec != nil:
		p.Scheme, p.Command = "exec", w.Exec.Command
		return p, nil
	default:
		return p, fmt.Errorf("a probe says nothing that can be asked")
	}
	var err error
	p.Port, err = c.number(at)
	return p, err
}

func (c container) number(p port) (int, error) {
	if n, err := strconv.Atoi(string(p)); err == nil {
		return n, nil
	}
	for _, listed := range c.Ports {
		if listed.Name == string(p) {
			return listed.ContainerPort, nil
		}
	}
	return 0, fmt.Errorf("a probe asks at port %q, which the container doesn't list", string(p))
}

package member

import (
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"runbook/engine"
)

// FromConfig returns the settings of an etcd configuration file. etcd ignores
// flags and variables where it is given one.
func FromConfig(data []byte, where string) (Settings, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, engine.Errorf(where, "parsing the etcd configuration: %w", err).WithAttribute("config")
	}
	s := Settings{}
	for _, name := range wanted {
		if v, ok := doc[name]; ok && v != nil {
			s[name] = fmt.Sprint(v)
		}
	}
	if tls, ok := doc["client-transport-security"].(map[string]any); ok {
		for _, name := range []string{"cert-file", "key-file", "trusted-ca-file"} {
			if v, ok := tls[name].(string); ok {
				s[name] = v
			}
		}
	}
	return s, nil
}

// Pod is what a static pod's manifest says of the etcd in it.
type Pod struct {
	Settings Settings
	// Version is etcd's version as the image's tag tells it ("3.5.15"), empty
	// where it doesn't.
	Version string
	UID     int
	GID     int
}

// manifest is the part of a pod that matters here.
type manifest struct {
	Kind string `json:"kind"`
	Spec struct {
		Containers      []container     `json:"containers"`
		SecurityContext securityContext `json:"securityContext"`
		Volumes         []struct {
			Name     string `json:"name"`
			HostPath *struct {
				Path string `json:"path"`
			} `json:"hostPath"`
		} `json:"volumes"`
	} `json:"spec"`
}

type container struct {
	Name            string          `json:"name"`
	Image           string          `json:"image"`
	Command         []string        `json:"command"`
	Args            []string        `json:"args"`
	SecurityContext securityContext `json:"securityContext"`
	Env             []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
	VolumeMounts []struct {
		Name      string `json:"name"`
		MountPath string `json:"mountPath"`
	} `json:"volumeMounts"`
}

type securityContext struct {
	RunAsUser  *int `json:"runAsUser"`
	RunAsGroup *int `json:"runAsGroup"`
}

// ParseManifest reads a static pod's manifest. Paths in its settings are the
// host's, not the container's.
func ParseManifest(data []byte, where string) (Pod, error) {
	var m manifest
	if err := yaml.Unmarshal(data, &m); err != nil {
		return Pod{}, engine.Errorf(where, "parsing the manifest: %w", err).WithAttribute("manifest")
	}
	for _, c := range m.Spec.Containers {
		env := c.environment()
		s, ok := FromCommand(c.commandLine(env), env)
		if !ok {
			continue
		}
		for _, name := range []string{"data-dir", "wal-dir", "config-file", "cert-file", "key-file", "trusted-ca-file"} {
			if s[name] != "" {
				s[name] = m.hostPath(c, s[name])
			}
		}
		return m.pod(c, s), nil
	}
	return Pod{}, engine.Errorf(where, "no container of this manifest starts etcd").
		WithHint("Name the manifest of etcd's static pod, on kubeadm's control planes /etc/kubernetes/manifests/etcd.yaml.").
		WithAttribute("manifest")
}

func (m *manifest) pod(c container, s Settings) Pod {
	p := Pod{Settings: s, Version: imageVersion(c.Image)}
	for _, sc := range []securityContext{m.Spec.SecurityContext, c.SecurityContext} {
		if sc.RunAsUser != nil {
			p.UID = *sc.RunAsUser
		}
		if sc.RunAsGroup != nil {
			p.GID = *sc.RunAsGroup
		}
	}
	return p
}

func (c container) environment() map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

var podVariable = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// commandLine is the container's command with $(VAR) replaced.
func (c container) commandLine(env map[string]string) []string {
	var argv []string
	for _, w := range append(append([]string{}, c.Command...), c.Args...) {
		argv = append(argv, podVariable.ReplaceAllStringFunc(w, func(ref string) string {
			if v := env[ref[2:len(ref)-1]]; v != "" {
				return v
			}
			return ref
		}))
	}
	return argv
}

// hostPath is where on the host a path of the container is: below the volume
// with the longest mount path that holds it.
func (m *manifest) hostPath(c container, path string) string {
	best, host := "", path
	for _, mount := range c.VolumeMounts {
		at := strings.TrimSuffix(mount.MountPath, "/")
		rest, ok := strings.CutPrefix(path, at)
		if !ok || (rest != "" && rest[0] != '/') || len(at) < len(best) {
			continue
		}
		for _, v := range m.Spec.Volumes {
			if v.Name == mount.Name && v.HostPath != nil {
				best, host = at, strings.TrimSuffix(v.HostPath.Path, "/")+rest
			}
		}
	}
	return host
}

var versionTag = regexp.MustCompile(`:v?(\d+\.\d+\.\d+)`)

func imageVersion(image string) string {
	if m := versionTag.FindStringSubmatch(image); m != nil {
		return m[1]
	}
	return ""
}

package causes

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"runbook/actions/etcd/member"
)

// etcdSettings are what etcd is started with.
type etcdSettings struct {
	path   string // of what says it: a manifest, a unit's file, a configuration file
	words  []string
	env    map[string]string
	config map[string]any // etcd's configuration file, which then alone counts
	err    error          // why that can't be read
	// pod and in are the manifest and its container; unit is a unit's.
	pod  *manifest
	in   corev1.Container
	unit *member.Unit
	// lacks is a file of variables that the unit needs and that isn't there.
	lacks string
}

// known reports whether anything says how etcd is started.
func (s etcdSettings) known() bool { return s.path != "" }

// readEtcd finds out what etcd is started with.
func (l *look) readEtcd() etcdSettings {
	var s etcdSettings
	m, ok := l.pods().found["etcd"]
	switch {
	case l.o.Manifest != "" && ok:
		s = etcdSettings{path: m.path, pod: &m}
		s.in, s.words = m.words("etcd")
	case l.o.Unit != "":
		s = l.settingsOfUnit(l.units()[l.o.Unit])
	case l.o.Config != "":
		s = etcdSettings{path: l.o.Config, words: []string{"--config-file=" + l.o.Config}}
	}
	if at := s.file("config-file"); at != "" {
		text, err := l.read(at)
		if err == nil {
			err = yaml.Unmarshal(text, &s.config)
		}
		s.err = err
	}
	return s
}

// settingsOfUnit reads a unit's files, as systemd has found them.
func (l *look) settingsOfUnit(u unit) etcdSettings {
	if u.fragment == "" {
		return etcdSettings{}
	}
	var texts [][]byte
	for _, path := range append([]string{u.fragment}, u.dropIns...) {
		text, err := l.read(path)
		if err != nil {
			return etcdSettings{path: u.fragment, err: err}
		}
		texts = append(texts, text)
	}
	parsed, err := member.ParseUnit(texts, map[string]string{"H": l.name, "n": u.name}, u.name)
	s := etcdSettings{path: u.fragment, unit: &parsed, env: parsed.Environment, err: err}
	for _, path := range parsed.EnvironmentFiles {
		path, optional := strings.CutPrefix(path, "-")
		text, err := l.read(path)
		if err != nil && !optional {
			s.lacks = path
		}
		maps.Copy(s.env, member.ParseEnvironmentFile(text))
	}
	if argv := parsed.Command(s.env); len(argv) > 0 {
		s.words, _ = member.Arguments(argv)
	}
	return s
}

// sections are those of etcd's configuration file that hold flags of their own.
var sections = map[string]string{"client-transport-security": "", "peer-transport-security": "peer-"}

// get is the value of a flag; empty where it isn't set.
func (s etcdSettings) get(name string) string {
	if s.config == nil {
		if value := setting(s.words, name); value != "" {
			return value
		}
		return s.env["ETCD_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))]
	}
	if value, ok := s.config[name]; ok && value != nil {
		return fmt.Sprint(value)
	}
	for section, prefix := range sections {
		its, _ := s.config[section].(map[string]any)
		if key, ok := strings.CutPrefix(name, prefix); ok && its[key] != nil {
			return fmt.Sprint(its[key])
		}
	}
	return ""
}

// file is where on the host the file or directory of a flag is.
func (s etcdSettings) file(name string) string {
	path := s.get(name)
	if path == "" || s.pod == nil {
		return path
	}
	at, _ := s.pod.hostPath(s.in, path)
	return at
}

// urls are the URLs of a flag.
func (s etcdSettings) urls(name string) []string {
	return strings.FieldsFunc(s.get(name), func(r rune) bool { return r == ',' || r == ' ' })
}

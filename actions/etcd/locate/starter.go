package locate

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"

	"runbook/actions/etcd/member"
	"runbook/engine"
)

// Starter is something that starts an etcd, and what it says of it.
type Starter struct {
	Settings    member.Settings
	Where       string // what it is, for messages
	Dir         string // what relative paths are relative to
	User, Group string // as whom etcd runs: names or numbers
	Version     string // empty where it isn't told
	// Of these that is set which starts it: the unit, the static pod's manifest
	// where kubelet runs it, or etcd's configuration file alone.
	Unit, Manifest, Config string
	Sources                []string // the files that were read

	environment map[string]string
}

// ReadManifest reads a static pod's manifest.
func ReadManifest(ctx context.Context, files Files, path string) (*Starter, error) {
	text, err := ReadFile(ctx, files, path, "manifest")
	if err != nil {
		return nil, err
	}
	return parseManifest(text, path, path)
}

// parseManifest reads a manifest's text, which stands in source. path is where
// kubelet finds it, or should.
func parseManifest(text []byte, path, source string) (*Starter, error) {
	pod, err := member.ParseManifest(text, source)
	if err != nil {
		return nil, err
	}
	return &Starter{
		Settings: pod.Settings, Where: source, Dir: "/", Version: pod.Version, Manifest: path, Sources: []string{source},
		User: strconv.Itoa(pod.UID), Group: strconv.Itoa(pod.GID),
	}, nil
}

// OfConfig is an etcd of which only its configuration file is known.
func OfConfig(path string) *Starter {
	return &Starter{Settings: member.Settings{"config-file": path}, Where: path, Dir: "/", User: "root", Group: "root", Config: path}
}

// ConfigFile is the path of the configuration file that etcd is started with;
// empty without one.
func (s *Starter) ConfigFile() string {
	path := s.Settings["config-file"]
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

// Member is the member as it is configured. Where etcd wouldn't start with that,
// there are both: the member and an *Inconsistent error.
func (s *Starter) Member(ctx context.Context, files Files) (member.Member, error) {
	settings := s.Settings
	if path := s.ConfigFile(); path != "" { // etcd then ignores every other setting
		text, err := ReadFile(ctx, files, path, "config")
		if err != nil {
			return member.Member{}, err
		}
		if !slices.Contains(s.Sources, path) {
			s.Sources = append(s.Sources, path)
		}
		if settings, err = member.FromConfig(text, path); err != nil {
			return member.Member{}, err
		}
	}
	m, err := member.Resolve(settings, s.Dir, s.Where)
	if err != nil {
		return m, &Inconsistent{err}
	}
	return m, nil
}

// Inconsistent is that a member's name, peer URLs and initial cluster don't fit
// each other.
type Inconsistent struct{ Err error }

func (e *Inconsistent) Error() string { return e.Err.Error() }

func (e *Inconsistent) Unwrap() error { return e.Err }

var _ error = (*Inconsistent)(nil)

// nothingStarts says that a unit starts no etcd.
func nothingStarts(unit string) error {
	return engine.Errorf(unit, "no ExecStart= of this unit starts etcd").
		WithHint("Name the unit that starts etcd, or its configuration file with config.").WithAttribute("unit")
}

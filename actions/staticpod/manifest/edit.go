package manifest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Edit says what a manifest is to say. What it doesn't name stays, byte for
// byte.
type Edit struct {
	// Container names the one whose flags and image are meant; it may be empty
	// where the pod has only one.
	Container string
	// Renames are new names of command-line flags by their old ones, all without
	// dashes. It is done first, so that Flags may name the new ones.
	Renames map[string]string
	// Flags are command-line flags by their names without dashes; nil takes a
	// flag away.
	Flags map[string]*string
	// HostPaths are the host's paths by the names of volumes.
	HostPaths map[string]string
	Image     string // empty leaves it
}

// Difference is one thing that an edit changes.
type Difference struct {
	What          string // "flag --name", "host path of volume data", "image"
	Before, After string
}

// absent stands for a flag that isn't there.
const absent = "not set"

// A change is one thing that an edit wants. It is found in m, and what has to
// be done about it returned: nothing, or splices of the text and the same on
// the decoded manifest.
type change interface {
	find(m *manifest) (*revision, error)
}

// revision is one change of one manifest.
type revision struct {
	Difference
	splices []splice // in the text's order
	// intend does to the decoded manifest what the splices do to the text.
	intend func(doc map[string]any)
}

type splice struct {
	from, to int
	text     string
}

// Apply returns the edited text and what is different in it. The text is
// spliced, not written anew: comments, order and quotes stay. Every result is
// parsed again and has to mean the old manifest with the one change.
func (e Edit) Apply(text []byte) ([]byte, []Difference, error) {
	var all []Difference
	for _, c := range e.changes() {
		m, err := open(text)
		if err != nil {
			return nil, nil, err
		}
		r, err := c.find(m)
		if err != nil {
			return nil, nil, err
		}
		if r == nil {
			continue
		}
		if text, err = m.revised(r); err != nil {
			return nil, nil, err
		}
		all = append(all, r.Difference)
	}
	return text, all, nil
}

func (e Edit) changes() []change {
	var all []change
	for _, old := range slices.Sorted(maps.Keys(e.Renames)) {
		all = append(all, renameChange{container: e.Container, from: old, to: e.Renames[old]})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Flags)) {
		all = append(all, flagChange{container: e.Container, name: name, value: e.Flags[name]})
	}
	for _, volume := range slices.Sorted(maps.Keys(e.HostPaths)) {
		all = append(all, hostPathChange{volume: volume, path: e.HostPaths[volume]})
	}
	if e.Image != "" {
		all = append(all, imageChange{container: e.Container, image: e.Image})
	}
	return all
}

// revised carries r out on m's text, and refuses a result that means anything
// else than what is intended.
func (m *manifest) revised(r *revision) ([]byte, error) {
	var out []byte
	done := 0
	for _, s := range r.splices {
		out = append(append(out, m.text[done:s.from]...), s.text...)
		done = s.to
	}
	out = append(out, m.text[done:]...)
	want, err := decoded(m.text)
	if err != nil {
		return nil, err
	}
	r.intend(want)
	got, err := decoded(out)
	if err != nil {
		return nil, fmt.Errorf("%s can't be changed in place: %w", r.What, err)
	}
	if !reflect.DeepEqual(got, want) {
		return nil, fmt.Errorf("%s can't be changed in place: the manifest would mean something else", r.What)
	}
	return out, nil
}

type hostPathChange struct{ volume, path string }

func (c hostPathChange) find(m *manifest) (*revision, error) {
	volumes := m.at("spec", "volumes")
	i, err := named(volumes, "volume", c.volume)
	if err != nil {
		return nil, err
	}
	node := value(value(volumes.Content[i], "hostPath"), "path")
	if node == nil {
		return nil, fmt.Errorf("the volume %q is no path of the host", c.volume)
	}
	return m.replaced(node, "host path of volume "+c.volume, c.path, func(doc map[string]any) {
		volume := child(doc, "spec", "volumes").([]any)[i]
		child(volume, "hostPath").(map[string]any)["path"] = c.path
	})
}

type imageChange struct{ container, image string }

func (c imageChange) find(m *manifest) (*revision, error) {
	i, err := m.container(c.container)
	if err != nil {
		return nil, err
	}
	node := value(m.at("spec", "containers").Content[i], "image")
	if node == nil {
		return nil, errors.New("the container names no image")
	}
	return m.replaced(node, "image", c.image, func(doc map[string]any) { containerOf(doc, i)["image"] = c.image })
}

// child is the value of a key in a decoded mapping, however deep.
func child(v any, keys ...string) any {
	for _, key := range keys {
		v = v.(map[string]any)[key]
	}
	return v
}

func containerOf(doc map[string]any, i int) map[string]any {
	return child(doc, "spec", "containers").([]any)[i].(map[string]any)
}

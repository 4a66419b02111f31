package engine

import "context"

// Registry is the explicit list of what a binary can do. cmd wires it; the
// language validates against it and the host decodes with it.
type Registry struct {
	Actions []Spec
	Data    []DataSpec
	Facts   Facts
}

// Facts read a host as it is. The technologies that know how are below
// actions, so they are handed in.
type Facts interface {
	// Unit reads a systemd unit's state without changing anything.
	Unit(ctx context.Context, name string) (UnitFact, error)
}

// Action returns the action called name, or false.
func (r *Registry) Action(name string) (Spec, bool) {
	for _, s := range r.Actions {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}

// DataSource returns the data source called name, or false.
func (r *Registry) DataSource(name string) (DataSpec, bool) {
	for _, s := range r.Data {
		if s.Name == name {
			return s, true
		}
	}
	return DataSpec{}, false
}

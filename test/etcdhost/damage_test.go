package etcdhost

import "testing"

func TestServes(t *testing.T) {
	for _, c := range []struct {
		version, storage string
		want             bool
	}{
		{"3.7.3", "3.7.0", true},
		{"3.10.1", "3.10.0", true},
		{"3.7.3", "3.5.0", false}, // found in a new database
		{"3.10.1", "3.1.0", false},
		{"3.7.3", "", false},
	} {
		if got := serves(c.version, c.storage); got != c.want {
			t.Errorf("storage version %q of etcd %s: %v", c.storage, c.version, got)
		}
	}
}

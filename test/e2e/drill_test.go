package e2e

import (
	"os"
	"testing"

	"runbook/test/etcdhost"
)

// A drill needs to be told nothing but the host's name.
func TestDrill(t *testing.T) {
	for _, name := range []string{"db-overwritten", "member-replaced", "data-directory-lost"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, etcdhost.Options{})
			s.takeBackup()
			host, err := os.Hostname()
			s.must(err)
			out := s.runbook(0, "run", "../../runbooks/drills/"+name+".hcl", "--yes", "--drill", host)
			s.contains(out, "score = Found: ", "with restore")
			s.samePlanAndRecord(t)
			if d := s.digest(); d.Keys != keys {
				t.Errorf("%d keys, want %d", d.Keys, keys)
			}
		})
	}
}

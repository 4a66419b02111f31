package causes

import (
	"net/http"
	"testing"
)

// What a look at a host takes: where all is well, and where nothing is served.
func BenchmarkLook(b *testing.B) {
	for name, ready := range map[string]int{"well": http.StatusOK, "unserved": http.StatusInternalServerError} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b)
			m.ready = ready
			for b.Loop() {
				m.look()
			}
		})
	}
}

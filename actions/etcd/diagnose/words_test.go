package diagnose

import "testing"

func TestWordsOfALine(t *testing.T) {
	for line, want := range map[string]string{
		`2026-11-30T22:00:00Z stderr F {"level":"fatal","ts":"x","caller":"etcdmain/etcd.go:172","msg":"listener failed","error":"listen tcp: bind: address already in use","stacktrace":"go.etcd.io/…"}`: "listener failed: listen tcp: bind: address already in use",
		`{"level":"panic","msg":"cannot use none as id"}`: "cannot use none as id",
		`panic: invalid page {`:                           `panic: invalid page {`,
		`{"level":"info"}`:                                `{"level":"info"}`,
		`{"msg":"cut o`:                                   `{"msg":"cut o`,
		"":                                                "",
	} {
		if got := Words(line); got != want {
			t.Errorf("%s\nsays %q, want %q", line, got, want)
		}
	}
}

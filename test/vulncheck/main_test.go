package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestReachable(t *testing.T) {
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/index/db.json" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(good.Close)
	bad := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(bad.Close)
	// It takes connections and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for name, c := range map[string]struct {
		db string
		ok bool
	}{
		"there": {good.URL, true}, "with a slash": {good.URL + "/", true}, "in a directory": {"file:///tmp", true},
		"something else": {bad.URL, false}, "nobody": {"http://127.0.0.1:1", false},
		"silent": {"http://" + silent.Addr().String(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if err := reachable(t.Context(), c.db); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*patience { // a bound against hanging
				t.Errorf("it took %v", took)
			}
		})
	}
}

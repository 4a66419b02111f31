package actions_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

func waitCases() []contract.Case {
	return []contract.Case{
		{Name: "a port", Action: "wait_for", Setup: waitScene(listening), Bad: badWait(), Fails: failingWait()},
		{Name: "a URL", Action: "wait_for", Setup: waitScene(func(t *testing.T) config {
			c := httpScene("GET", nil)(t).Config
			return config{"url": c["url"], "ca": c["ca"]}
		})},
		{Name: "a URL of any certificate", Action: "wait_for", Setup: waitScene(func(t *testing.T) config {
			url := httpScene("GET", nil)(t).Config["url"].AsString() + "/no"
			return config{"url": cty.StringVal(url), "expected_status": cty.NumberIntVal(418), "insecure": cty.True}
		})},
		{Name: "a path that comes", Action: "wait_for", Setup: waitScene(func(t *testing.T) config {
			path := filepath.Join(t.TempDir(), "late")
			soon := time.AfterFunc(20*time.Millisecond, func() { _ = os.WriteFile(path, nil, 0o600) })
			t.Cleanup(func() { soon.Stop() })
			return config{"path": cty.StringVal(path)}
		})},
		{Name: "a path that is gone", Action: "wait_for", Setup: waitScene(func(t *testing.T) config {
			return config{"path": cty.StringVal("/no/such"), "absent": cty.True}
		})},
		{Name: "postconditions alone", Action: "wait_for", Setup: waitScene(func(*testing.T) config { return config{} })},
		{Name: "a unit", Action: "wait_for", Setup: waitScene(func(t *testing.T) config {
			return config{"unit": cty.StringVal("dbus.socket")}
		})},
		{Name: "a question", Action: "confirm", Setup: waitScene(func(*testing.T) config {
			return config{"message": cty.StringVal("Really?")}
		}), Bad: []contract.Bad{{Name: "no message", Set: set("message", ""), Attribute: "message", Message: "is empty"}}},
		{Name: "always", Action: "fail", AlwaysFails: true, Setup: waitScene(func(*testing.T) config {
			return config{"message": cty.StringVal("Not here.")}
		}), Fails: []contract.Bad{{Name: "message", Set: set("message", "Go home."), Attribute: "message", Message: "Go home."}},
			Bad: []contract.Bad{{Name: "no message", Set: set("message", ""), Attribute: "message", Message: "is empty"}}},
	}
}

func listening(t *testing.T) config {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return config{"tcp": cty.StringVal(l.Addr().String()), "timeout_seconds": cty.NumberIntVal(1)}
}

// waitScene is one in which there is nothing to change.
func waitScene(prepare func(*testing.T) config) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		return contract.Scene{Config: prepare(t), Observe: func(*testing.T) string { return "" }}
	}
}

func badWait() []contract.Bad {
	return []contract.Bad{
		{Name: "two", Set: set("path", "/x"), Attribute: "path", Message: "tcp and path are both set"},
		{Name: "no port", Set: set("tcp", "localhost"), Attribute: "tcp", Message: `"host:port"`},
		{Name: "no scheme", Set: set("url", "localhost/"), Attribute: "url", Message: "begins with http://"},
		{Name: "relative", Set: set("path", "x"), Attribute: "path", Message: "must be absolute"},
		{Name: "no type", Set: set("unit", "etcd"), Attribute: "unit", Message: "etcd.service, perhaps"},
		{Name: "state", Set: set("state", "running"), Attribute: "state", Message: `"active", "inactive" or "failed"`},
		{Name: "no time", Set: setTo("timeout_seconds", cty.Zero), Attribute: "timeout_seconds", Message: "from 1 to"},
	}
}

func failingWait() []contract.Bad {
	instead := func(name, value string) func(*testing.T, config) {
		return func(_ *testing.T, c config) { delete(c, "tcp"); c[name] = cty.StringVal(value) }
	}
	return []contract.Bad{
		{Name: "no listener", Set: set("tcp", "127.0.0.1:1"), Attribute: "tcp", Message: "last seen: dial tcp 127.0.0.1:1: connect: connection refused"},
		{Name: "no server", Set: instead("url", "http://127.0.0.1:1"), Attribute: "url", Message: "connection refused"},
		{Name: "no path", Set: instead("path", "/no/such"), Attribute: "path", Message: "last seen: it doesn't exist"},
		{Name: "no unit", Set: instead("unit", "no-such.service"), Attribute: "unit", Message: "knows no such unit"},
		{Name: "inactive unit", Set: instead("unit", "rescue.target"), Attribute: "unit", Message: "last seen: it is inactive (dead)"},
	}
}

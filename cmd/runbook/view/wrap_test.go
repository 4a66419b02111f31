package view

import (
	"strings"
	"testing"

	"runbook/engine"
)

func TestWrapped(t *testing.T) {
	for _, c := range []struct {
		width      int
		text, want string
	}{
		{20, "short", "short"},
		{0, strings.Repeat("long ", 50), strings.Repeat("long ", 50)},
		{20, "one two three four five six", "one two three four\nfive six"},
		{20, "  indented words that go on and on", "  indented words\n  that go on and on"},
		{20, "  ~ /etc/x: file → somewhere else", "  ~ /etc/x: file →\n    somewhere else"},
		{30, "  name  what is said of the name goes on", "  name  what is said of the\n        name goes on"},
		{24, "a much longer label  and what is said of it", "a much longer label  and\n    what is said of it"},
		{30, "Go on with `runbook resume r-1`, or not.", "Go on with\n`runbook resume r-1`, or not."},
		{20, "Type `runbook resume r-1 --skip one` now", "Type `runbook resume\nr-1 --skip one` now"},
		{20, "  see /var/lib/etcd/member/snap/db of it", "  see\n/var/lib/etcd/member/snap/db\n  of it"},
		{16, "\x1b[31mfailed:\x1b[0m it is gone", "\x1b[31mfailed:\x1b[0m it is\ngone"},
		{8, "世界 世界 世界", "世界\n世界\n世界"},
		{12, "first line\nsecond line that is long", "first line\nsecond line\nthat is long"},
	} {
		if got := wrapped(c.text, c.width); got != c.want {
			t.Errorf("%q at %d:\n%q, want\n%q", c.text, c.width, got, c.want)
		}
	}
}

func TestShorter(t *testing.T) {
	const path = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	for _, c := range []struct{ got, want string }{
		{middle(path, 100), path},
		{middle(path, 24), "/etc/ku…e-apiserver.yaml"},
		{middle("世界世界世界", 7), "世…世界"},
		{middle("abc", 1), "…"},
		{middle("abc", 0), ""},
		{inBrief("as it is", 20), "as it is"},
		{inBrief("it begins with this and says a lot before it ends with the reason", 40), "it begins with this … with the reason"},
		{beginning("Stop the control plane, etcd last", 20), "Stop the control…"},
		{beginning("one\ntwo", 20), "one two"},
		{changed(itemFor("x"), 200), path + ": in /etc/kubernetes/manifests → x"},
		{changed(itemFor("x"), 50), "/etc/ku…apiserver.yaml: in /etc…etes/manifests → x"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func itemFor(after string) engine.Item {
	return engine.Item{Target: "/etc/kubernetes/manifests/kube-apiserver.yaml", Before: "in /etc/kubernetes/manifests", After: after}
}

// What is quoted of a file stays as it is, a space that doesn't break included.
func TestUnbrokenChangesNoText(t *testing.T) {
	const text = "a\u00a0b `runbook resume r-1` c"
	if got := broken(unbroken(text)); got != text {
		t.Errorf("%q", got)
	}
}

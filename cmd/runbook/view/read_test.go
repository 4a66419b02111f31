package view

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"

	"runbook/engine"
)

// looked is a data source that says a bit of everything.
func looked() (engine.DataSpec, engine.Result) {
	spec := engine.DataSpec{Name: "looked", Results: []engine.Attribute{
		{Name: "advice"},
		{Name: "healthy"},
		{Name: "findings", Line: "{severity}: {finding}| {advice}| ({path})|\n$ {command}"},
		{Name: "ladder", Line: "{cure}: {possible}|; {why}|. It loses {loss}"},
		{Name: "files", Line: "{path}|, revision {revision}"},
		{Name: "names"},
		{Name: "empty"},
		{Name: "rest", Detail: true},
		{Name: "nothing", Detail: true},
	}}
	files, names := []any{}, []any{}
	for i := range 15 {
		files = append(files, map[string]any{"path": fmt.Sprintf("/var/backups/etcd/%02d.db", i), "revision": i})
		names = append(names, fmt.Sprintf("kube-apiserver-%02d", i))
	}
	return spec, engine.Result{
		"advice": "Restart etcd, and look again whether it comes up; what it needs is there and whole.", "healthy": false,
		"findings": []any{
			map[string]any{"severity": "damage", "finding": "kubelet is stopped, and nothing else starts the static pods of this host.", "advice": "Start it.", "path": "", "command": "systemctl start kubelet"},
			map[string]any{"severity": "note", "finding": "The disk is nearly full.", "advice": "", "path": "/var/lib/etcd", "command": ""},
		},
		"ladder": []any{
			map[string]any{"cure": "restart", "possible": true, "why": "", "loss": "nothing"},
			map[string]any{"cure": "repair", "possible": false, "why": "there is nothing to mend.", "loss": ""},
		},
		"files": files, "names": names, "empty": []any{}, "rest": 7, "nothing": "",
	}
}

func TestReadInBrief(t *testing.T) {
	for _, width := range []int{50, 80} {
		var out bytes.Buffer
		newHuman(&out, nil, width, false).Read(looked())
		for line := range strings.Lines(out.String()) {
			if got := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); got > width {
				t.Errorf("%d columns at %d: %s", got, width, line)
			}
		}
		golden(t, fmt.Sprintf("read_%d.txt", width), out.String())
	}
}

func TestReadAll(t *testing.T) {
	var out bytes.Buffer
	h := newHuman(&out, nil, 80, false)
	h.Verbose()
	h.Read(looked())
	for _, part := range []string{"severity  damage", "rest      7", "14.db", "kube-apiserver-14"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in:\n%s", part, out.String())
		}
	}
}

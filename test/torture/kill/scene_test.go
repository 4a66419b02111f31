package kill

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A scene is what testdata/thirty.hcl works on: a tree, a ledger in which each
// effect of a program is a line, and three units. Several scenes lie side by
// side on one host.
type scene struct {
	*host
	name, base string
}

const thirty = "testdata/thirty.hcl"

// scenesDir holds all scenes. Nothing here cuts the power, so it is memory: the
// waits for a disk are left out.
const scenesDir = "/var/lib/kill"

// prepare makes what all scenes are copies of.
func (h *host) prepare() {
	h.Helper()
	h.sh(`mkdir -p ` + scenesDir + ` /usr/local/lib/systemd/system
mountpoint -q ` + scenesDir + ` || mount -t tmpfs tmpfs ` + scenesDir + `
# What generates units would take most of the time of a daemon-reload.
mkdir -p /etc/systemd/system-generators
for g in /usr/lib/systemd/system-generators/*; do ln -sf /dev/null /etc/systemd/system-generators/${g##*/}; done
rm -rf ` + scenesDir + `/template && mkdir ` + scenesDir + `/template && cd ` + scenesDir + `/template
mkdir -p data/sub etc wide
echo one >data/a && echo two >data/sub/b && ln -s a data/link && ln data/a data/hard && truncate -s 1M data/sub/hole
chown 12:34 data/sub && chmod 2710 data/sub && chmod 0400 data/sub/b
cp -a data spare && cp -a data owned
echo stale >stale && echo origin >origin && echo plain >plain
echo "listen = 0" >etc/other && echo "listen = 3" >etc/same && echo another >etc/origin
find . -depth -exec touch -h -d 2026-01-01T00:00:00Z {} +`)
}

// newScene makes a scene's units. Each has its own state directory and lock.
func (h *host) newScene(name string) *scene {
	h.Helper()
	s := &scene{host: h.in(h.T), name: name, base: scenesDir + "/" + name}
	s.keepsIn(s.base, thirty, "base="+s.base, "suffix="+name, "password=never to be seen")
	unit := `[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStartPre=sh -c "echo %s >>` + s.base + `/ledger"
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
`
	s.write("/etc/systemd/system/service-"+name+".service", fmt.Sprintf(unit, "service"))
	s.write("/usr/local/lib/systemd/system/unwanted-"+name+".service", fmt.Sprintf(unit, "unwanted"))
	s.atEnd("systemctl stop '*-" + name + ".service'")
	return s
}

// reset makes the scene what it is before a run.
func (s *scene) reset() {
	s.Helper()
	s.sh(`cd /etc/systemd/system
systemctl stop helper-` + s.name + `.service 2>/dev/null || true
rm -rf .helper-` + s.name + `.service* helper-` + s.name + `.service multi-user.target.wants/helper-` + s.name + `.service unwanted-` + s.name + `.service
rm -rf ` + s.base + ` && mkdir ` + s.base + ` && cp -a ` + scenesDir + `/template ` + s.base + `/tree
systemctl daemon-reload
systemctl start service-` + s.name + ` unwanted-` + s.name + `
: >` + s.base + `/ledger`)
}

var runID = regexp.MustCompile(`\d{8}-\d{6}-[a-z0-9]{4}`)

// plan is what a plan says now, without what depends on how long steps took.
func (s *scene) plan() string {
	s.Helper()
	var document map[string]any
	out := s.runbook(done, "plan", "--json", thirty)
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	withoutEstimates(document)
	text, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		s.Fatal(err)
	}
	return s.leveled(string(text))
}

func withoutEstimates(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "estimate")
		delete(v, "estimate_seconds")
		for _, e := range v {
			withoutEstimates(e)
		}
	case []any:
		for _, e := range v {
			withoutEstimates(e)
		}
	}
}

// leveled is a text in which neither the run nor the scene has a name.
func (s *scene) leveled(text string) string {
	text = strings.NewReplacer(s.base, "BASE", s.base[1:], "BASE", "-"+s.name+".service", "-N.service", "helper-"+s.name, "helper-N").Replace(text)
	return runID.ReplaceAllString(text, "RUN")
}

// state is everything that the runbook may change, but the ledger. What a
// rollback has moved aside is no part of it.
func (s *scene) state() string {
	s.Helper()
	text := s.tree(s.base+"/tree") + s.units()
	var lines []string
	for line := range strings.Lines(s.leveled(text)) {
		if !strings.Contains(line, ".undone-RUN") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func (s *scene) units() string {
	s.Helper()
	files, err := filepath.Glob("/etc/systemd/system/*" + s.name + ".service*")
	if err != nil {
		s.Fatal(err)
	}
	more, _ := filepath.Glob("/etc/systemd/system/*/*" + s.name + ".service*")
	hidden, _ := filepath.Glob("/etc/systemd/system/.*" + s.name + ".service*")
	var text strings.Builder
	for _, path := range slices.Concat(files, more, hidden) {
		text.WriteString(path + " " + s.describe(path) + "\n")
	}
	units := strings.ReplaceAll("service-N helper-N unwanted-N", "N", s.name)
	text.WriteString(s.sh("systemctl show -p Id,LoadState,ActiveState,SubState,UnitFileState,Result,NeedDaemonReload " + units))
	return text.String()
}

// named holds that whatever the run has left aside is named by show.
func (s *scene) named(r *shown) {
	s.Helper()
	for _, dir := range []string{s.base + "/tree", "/etc/systemd/system"} {
		s.must(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(filepath.Base(path), r.ID) && !slices.Contains(r.Kept, path) {
				s.Errorf("show doesn't name %s", path)
			}
			return err
		}))
	}
}

func (s *scene) ledger() string {
	s.Helper()
	text, err := os.ReadFile(s.base + "/ledger")
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

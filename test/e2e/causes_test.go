package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"runbook/test/etcdhost"
)

// told is what a diagnosis tells of what is around etcd.
type told struct {
	Healthy     bool
	Recommended string
	Classes     []string
	Causes      []struct{ Class, Finding, Remedy, Path, Command, From, To string }
}

func (s *scene) diagnose() told {
	s.Helper()
	out, err := exec.CommandContext(s.ctx, s.binary, "read", "etcd_diagnosis", "--json").Output()
	s.must(err)
	var doc struct{ Result told }
	s.must(json.Unmarshal(out, &doc))
	return doc.Result
}

// What keeps a unit's etcd from running while its data is well is named, and the
// command that goes with it helps.
func TestCauses(t *testing.T) {
	for name, c := range map[string]struct {
		options       etcdhost.Options
		script, class string // class of the cause; of a finding where restart is all it takes
		remedy        string
		says          string
	}{
		"masked": {script: "systemctl mask etcd.service", class: "unit_masked", remedy: "start_unit"},
		"flag misspelt": {options: etcdhost.Options{Flags: true}, script: "sed -i s/--initial-cluster-token/--initial-cluster-tokn/ /usr/lib/systemd/system/etcd.service; systemctl daemon-reload; systemctl start etcd || true",
			class: "unknown_flag", says: "flag provided but not defined: -initial-cluster-tokn"},
		"variables gone": {script: "mv /etc/default/etcd /root/etcd.env", class: "env_file_missing"},
		"program gone":   {script: "mv /usr/bin/etcd /usr/bin/etcd.old", class: "program_missing"},
		"few files": {script: "mkdir -p /etc/systemd/system/etcd.service.d; printf '[Service]\nLimitNOFILE=6\n' > /etc/systemd/system/etcd.service.d/few.conf; systemctl daemon-reload; systemctl start etcd || true",
			class: "limit_low"},
		"port taken": {script: "systemd-run --unit=squatter --property=Type=notify etcd --data-dir=/tmp/squatter --listen-peer-urls=http://127.0.0.1:12380 --initial-advertise-peer-urls=http://127.0.0.1:12380 --initial-cluster=default=http://127.0.0.1:12380; systemctl start etcd || true",
			class: "port_taken", remedy: "stop_unit", says: "unit squatter.service"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, c.options)
			s.atEnd("rm -rf /etc/systemd/system/etcd.service.d /tmp/squatter; systemctl unmask etcd.service; systemctl stop squatter || true; systemctl daemon-reload")
			s.stop()
			s.sh(c.script)
			d := s.diagnose()
			if len(d.Causes) != 1 || d.Causes[0].Class != c.class || d.Causes[0].Remedy != c.remedy || !strings.Contains(d.Causes[0].Finding, c.says) {
				t.Fatalf("%+v", d)
			}
			if d.Healthy || d.Recommended != "restart" {
				t.Errorf("healthy %v, %q", d.Healthy, d.Recommended)
			}
			t.Logf("%+v", d)
		})
	}
}

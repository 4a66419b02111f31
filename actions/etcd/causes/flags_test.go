package causes

import (
	"flag"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
)

// The list has every flag that etcd's own code of the newest version has.
func TestFlagsOfEmbed(t *testing.T) {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	embed.NewConfig().AddFlags(flags)
	count := 0
	flags.VisitAll(func(f *flag.Flag) {
		count++
		if !flagKnown(f.Name, "3.7.3") {
			t.Errorf("--%s isn't listed", f.Name)
		}
	})
	if count < 50 {
		t.Errorf("only %d flags", count)
	}
}

// What the list says of the flags that not every version has is what real etcds
// take.
func TestFlagsOfVersions(t *testing.T) {
	for version, name := range map[string]string{"3.5": "etcd35", "3.6": "etcd36", "3.7": "etcd"} {
		tried := 0
		for flag, takes := range knownFlags() {
			if slices.Contains(takes, "3.5") && slices.Contains(takes, "3.6") && slices.Contains(takes, "3.7") {
				continue
			}
			tried++
			out, err := exec.Command("../../../.cache/bin/"+name, "--"+flag+"=\x01", "--version").CombinedOutput()
			refused := strings.Contains(string(out), "flag provided but not defined: -"+flag+"\n")
			if refused == slices.Contains(takes, version) {
				t.Errorf("%s: --%s refused: %v (%v)", version, flag, refused, err)
			}
		}
		if tried < 30 {
			t.Errorf("only %d tried", tried)
		}
	}
}

func TestNearestFlag(t *testing.T) {
	for name, want := range map[string]string{
		"snapshot-cuont":       "snapshot-count",
		"dta-dir":              "data-dir",
		"listen-client-url":    "listen-client-urls",
		"advertise-client-url": "advertise-client-urls",
		"initial-cluster-tokn": "initial-cluster-token",
		"experimental-watch-progress-notify-interval": "watch-progress-notify-interval",
		"frobnicate":    "",
		"peer-cert-fil": "peer-cert-file",
		"xx":            "",
	} {
		if got := nearestFlag(name, "3.7.3", nil); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// One that is set already wasn't meant.
	if got := nearestFlag("dta-dir", "3.6.1", []string{"data-dir"}); got != "" {
		t.Error(got)
	}
}

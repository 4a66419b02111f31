package causes

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"

	"runbook/actions/etcd/diagnose"
)

// lookAtFlags looks for flags that etcd doesn't take: it prints its usage then,
// and ends. One that serves has taken all of its flags.
func lookAtFlags(_ context.Context, l *look) []finding {
	s := l.etcd()
	if !s.known() || l.works() {
		return nil
	}
	var found []finding
	used := flagNames(s.words)
	for _, name := range used {
		if f, ok := l.unknownFlag(s, name, used); ok {
			found = append(found, f)
		}
	}
	return append(found, refusedValues(s)...)
}

// works reports whether etcd does its work: the API is served, or its unit runs.
func (l *look) works() bool {
	if served := l.served(); served != nil && *served {
		return true
	}
	return l.o.Unit != "" && l.units()[l.o.Unit].running()
}

// flagNames are the names of the flags in a command line.
func flagNames(words []string) []string {
	var names []string
	for _, w := range words {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(w, "-"), "-"), "=")
		if strings.HasPrefix(w, "-") && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// unknownFlag judges a flag. Of a version that isn't known here etcd itself has
// to have said it, unless there is one that was meant.
func (l *look) unknownFlag(s etcdSettings, name string, used []string) (finding, bool) {
	line := fatalLine(l.said())
	said := strings.TrimSpace(line) == "flag provided but not defined: -"+name
	to := nearestFlag(name, l.o.Version, used)
	switch {
	case flagKnown(name, l.o.Version) && !said:
		return finding{}, false
	case minorOf(l.o.Version) == "" && !said && to == "":
		return finding{}, false
	}
	version := "etcd"
	if l.o.Version != "" {
		version = "etcd " + l.o.Version
	}
	what := fmt.Sprintf("%s has the flag --%s, which %s doesn't know: it prints its usage and ends.", s.path, name, version)
	if said {
		what += saying("etcd", line)
	}
	r := remedy{From: name, Command: "vi " + s.path}
	if to == "" {
		return cause(classUnknownFlag, diagnose.Mistake, s.path, what, "Take the flag out, or run the version that knows it."+gateOf(name), r), true
	}
	r.To, r.Command = to, fmt.Sprintf(`sed -i 's/--%s\([^a-z0-9-]\|$\)/--%s\1/' %s`, name, to, s.path)
	if s.pod != nil {
		r.Name = diagnose.RenameFlag
	} else {
		r.Command += " && systemctl daemon-reload"
	}
	return cause(classUnknownFlag, diagnose.Mistake, s.path, what, fmt.Sprintf("It is called --%s.", to), r), true
}

// gates are the feature gates that have taken the place of flags.
var gates = map[string]string{
	"experimental-initial-corrupt-check":             "InitialCorruptCheck",
	"experimental-compact-hash-check-enabled":        "CompactHashCheck",
	"experimental-enable-lease-checkpoint":           "LeaseCheckpoint",
	"experimental-enable-lease-checkpoint-persist":   "LeaseCheckpointPersist",
	"experimental-stop-grpc-service-on-defrag":       "StopGRPCServiceOnDefrag",
	"experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}

func gateOf(name string) string {
	if gate := gates[name]; gate != "" {
		return fmt.Sprintf(" Since etcd 3.6 it is --feature-gates=%s=true.", gate)
	}
	return ""
}

// refusedValues has etcd's own flags take the values that are set.
func refusedValues(s etcdSettings) []finding {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	embed.NewConfig().AddFlags(flags)
	var found []finding
	for _, name := range flagNames(s.words) {
		value := setting(s.words, name)
		if flags.Lookup(name) == nil || value == "" || strings.Contains(value, "$") {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			found = append(found, cause(classFlagRefused, diagnose.Mistake, s.path, fmt.Sprintf("%s sets --%s to %q, which etcd doesn't take: %s.", s.path, name, value, err), "Set it to what it takes.", remedy{From: name, Command: "vi " + s.path}))
		}
	}
	return found
}

package member

import (
	"bytes"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"runbook/engine"
)

// Unit is what a systemd unit says of the process it starts.
type Unit struct {
	ExecStart        []string // as written, the last one valid
	Environment      map[string]string
	EnvironmentFiles []string // a leading "-" means that it may be absent
	User, Group      string
	WorkingDirectory string
}

// ParseUnit reads the files of a unit, the fragment first and its drop-ins in
// their order. specifiers are systemd's %-letters, such as "H" for the host's
// name.
func ParseUnit(files [][]byte, specifiers map[string]string, where string) (Unit, error) {
	u := Unit{Environment: map[string]string{}}
	for _, f := range files {
		options, err := unit.DeserializeOptions(bytes.NewReader(f))
		if err != nil {
			return Unit{}, engine.Errorf(where, "parsing the unit: %w", err)
		}
		for _, o := range options {
			if o.Section == "Service" {
				u.take(o.Name, expandSpecifiers(o.Value, specifiers))
			}
		}
	}
	return u, nil
}

// take applies one option. An empty value resets the options that are lists.
func (u *Unit) take(name, value string) {
	switch name {
	case "ExecStart":
		u.ExecStart = appendOrReset(u.ExecStart, value)
	case "EnvironmentFile":
		u.EnvironmentFiles = appendOrReset(u.EnvironmentFiles, value)
	case "Environment":
		if value == "" {
			clear(u.Environment)
		}
		for _, w := range splitWords(value) {
			if k, v, ok := strings.Cut(w, "="); ok {
				u.Environment[k] = v
			}
		}
	case "User":
		u.User = value
	case "Group":
		u.Group = value
	case "WorkingDirectory":
		u.WorkingDirectory = strings.TrimPrefix(value, "-")
	}
}

func appendOrReset(list []string, value string) []string {
	if value == "" {
		return nil
	}
	return append(list, value)
}

// Command is the command line of the unit's etcd under env, or nil if none of
// its commands is one.
func (u Unit) Command(env map[string]string) []string {
	for _, line := range u.ExecStart {
		argv := expandWords(splitWords(strings.TrimLeft(line, "@-:+!")), env)
		if _, ok := Arguments(argv); ok {
			return argv
		}
	}
	return nil
}

// expandWords replaces variables as systemd does: ${VAR} inside a word, and
// $VAR as a word of its own by as many words as it holds.
func expandWords(words []string, env map[string]string) []string {
	var out []string
	for _, w := range words {
		if name, ok := strings.CutPrefix(w, "$"); ok && isVariableName(name) {
			out = append(out, splitWords(env[name])...)
			continue
		}
		out = append(out, os.Expand(w, func(name string) string {
			if name == "$" {
				return "$"
			}
			return env[name]
		}))
	}
	return out
}

func isVariableName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func expandSpecifiers(value string, specifiers map[string]string) string {
	pairs := []string{"%%", "%"}
	for letter, text := range specifiers {
		pairs = append(pairs, "%"+letter, text)
	}
	return strings.NewReplacer(pairs...).Replace(value)
}

// ParseEnvironmentFile reads a file as EnvironmentFile= takes it.
func ParseEnvironmentFile(data []byte) map[string]string {
	env := map[string]string{}
	text := strings.ReplaceAll(string(data), "\\\n", "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue // systemd passes such lines over too
		}
		key = strings.TrimPrefix(strings.TrimSpace(key), "export ")
		env[key] = unquote(strings.TrimSpace(value))
	}
	return env
}

func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

package member

import (
	"path/filepath"
	"slices"
	"strings"
)

// FromCommand returns the settings of an etcd that is started with argv and
// env. As in etcd, a flag wins over its variable ETCD_…. found is false where
// argv doesn't start etcd. A shell's "-c" script is looked into.
func FromCommand(argv []string, env map[string]string) (s Settings, found bool) {
	args, found := Arguments(argv)
	if !found {
		return nil, false
	}
	s = FromEnvironment(env)
	for name, value := range flagValues(args) {
		s[name] = value
	}
	return s, true
}

// FromEnvironment returns the settings that etcd takes from the variables
// ETCD_….
func FromEnvironment(env map[string]string) Settings {
	s := Settings{}
	for _, name := range wanted {
		key := "ETCD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if v, ok := env[key]; ok {
			s[name] = v
		}
	}
	return s
}

// Arguments finds the arguments of etcd in a command line; a shell's "-c" script is
// looked into.
func Arguments(argv []string) ([]string, bool) {
	if len(argv) == 0 {
		return nil, false
	}
	if filepath.Base(argv[0]) == "etcd" {
		return argv[1:], true
	}
	for i, arg := range argv {
		if isScriptFlag(arg) && i+1 < len(argv) {
			return inScript(splitWords(argv[i+1]))
		}
	}
	return nil, false
}

// isScriptFlag reports whether arg is a shell's -c, alone or with others.
func isScriptFlag(arg string) bool {
	return strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.HasSuffix(arg, "c")
}

// inScript finds etcd's arguments among the words of a shell script.
func inScript(words []string) ([]string, bool) {
	i := slices.IndexFunc(words, func(w string) bool { return filepath.Base(w) == "etcd" })
	if i < 0 {
		return nil, false
	}
	args := words[i+1:]
	if end := slices.IndexFunc(args, func(w string) bool { return strings.ContainsAny(w, ";|&<>") }); end >= 0 {
		args = args[:end]
	}
	return args, true
}

// flagValues returns the values of the wanted flags, written "--flag=value"
// or "--flag value", with one dash or two. Other flags are passed over: they
// may be of an etcd older or newer than any list of flags.
func flagValues(args []string) Settings {
	s := Settings{}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[i], "-"), "-"), "=")
		if !strings.HasPrefix(args[i], "-") || !slices.Contains(wanted, name) {
			continue
		}
		if !joined && i+1 < len(args) {
			i++
			value = args[i]
		}
		s[name] = value
	}
	return s
}

// splitWords splits a line into words as systemd and shells do: at white
// space, with quotes and backslashes.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(runes):
			if i++; runes[i] != '\n' {
				word.WriteRune(runes[i])
				inWord = true
			}
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case quote == 0 && strings.ContainsRune(" \t\r\n", c):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

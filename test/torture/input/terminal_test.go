package input

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// spells are what some terminals obey: a title, a cleared screen, an answer typed
// by the terminal itself, the same with one byte, letters in another order.
var spells = []struct{ name, text string }{
	{"title", "\x1b]0;owned\x07"},
	{"clear", "\x1b[2J\x1b[H"},
	{"answer", "\x1b[c\x1bP$q\"p\x1b\\"},
	{"one_byte", "\u009b2J\u009d0;owned\u009c"},
	{"turned_round", "\u202eon si gnorw\u202c"},
	{"overwrite", "wrong\rright"},
	{"rub_out", "wrong\b\b\b\b\b\x7fright"},
	{"bell", "\a\v\f\x0e"},
}

// terminal puts the spells into every place of a runbook that a diagnostic may
// quote: as they are, and as what a text with escapes comes to.
func terminal() []hostile {
	var all []hostile
	for _, s := range spells {
		raw, quoted := s.text, hclQuoted(s.text)
		for place, text := range map[string]string{
			"source":       header + "step \"fail\" \"a\" { massage = \"" + raw + "\" }\n",
			"names":        "runbook " + quoted + " {}\nstep \"fail\" " + quoted + " { message = \"no\" }\nstep " + quoted + " \"b\" {}\ndata \"host\" " + quoted + " {}\n",
			"precondition": header + "step \"fail\" \"a\" {\n  message = \"no\"\n  precondition {\n    condition     = false\n    error_message = " + quoted + "\n  }\n}\n",
			"values":       header + "locals { v = " + quoted + " }\nstep \"command\" \"a\" { argv = [local.v] }\nstep \"write_file\" \"b\" {\n  path    = local.v\n  content = tonumber(local.v)\n}\n",
			"paths":        header + "data \"file\" \"a\" { path = \"/nowhere/\" }\nlocals { p = " + quoted + " }\nstep \"move\" \"b\" {\n  from = \"/nowhere/${local.p}\"\n  to   = \"/nowhere/x\"\n}\nstep \"write_file\" \"c\" {\n  path    = \"/nowhere/x/${local.p}\"\n  content = \"\"\n}\n",
			"keys":         header + "step \"move\" \"b\" {\n  for_each = { " + quoted + " = 1 }\n  from     = \"/nowhere/${each.key}\"\n  to       = \"/nowhere/x\"\n}\n",
			"files":        header + "output \"o\" { value = file(" + quoted + ") }\nstep \"runbook\" \"a\" { source = " + quoted + " }\n",
		} {
			all = append(all, hostile{name: s.name + "_in_" + place, args: []string{"plan", "x.hcl"}, make: func(t *testing.T, dir string) {
				text := text
				put(t, dir+"/x.hcl", text)
			}})
		}
		all = append(all,
			hostile{name: s.name + "_in_arguments", args: []string{"show", s.text}, make: nothing},
			hostile{name: s.name + "_in_flags", args: []string{"plan", "--" + s.text}, make: nothing},
			hostile{name: s.name + "_in_settings", args: []string{"plan", "x.hcl", "--var", s.text + "=" + s.text}, make: text("x.hcl", header)},
		)
	}
	return sorted(all)
}

// hclQuoted is a text as a literal of HCL.
func hclQuoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString("\\" + string(r))
		case strconv.IsPrint(r) && r < 0x80:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

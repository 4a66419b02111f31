package input

import (
	"fmt"
	"testing"
)

// marks has every function fail on a secret: what it says of its argument must
// not get through.
func marks() []hostile {
	var all []hostile
	for i, expr := range []string{
		`file(var.secret)`, `file("/nowhere/${var.secret}")`, `path("\u0000${var.secret}").owner`, `unit("/${var.secret}").state`,
		`jsondecode(var.secret)`, `jsondecode("[\"${var.secret}\"}")`, `csvdecode("a,b\n${var.secret}")`, `csvdecode("${var.secret},${var.secret}\n1,2")[0].x`,
		`regex("(${var.secret}", "x")`, `regex("x{9999}${var.secret}", "x")`, `regex(var.secret, "x")`, `regexall("[${var.secret}", "x")`, `regex_replace("x", "(${var.secret}", "")`,
		`tonumber(var.secret)`, `tobool(var.secret)`, `parseint(var.secret, 10)`, `parseint("1", var.secret)`,
		`formatdate(var.secret, "2026-01-02T03:04:05Z")`, `formatdate("YYYY", var.secret)`, `timeadd(var.secret, "1h")`, `timeadd("2026-01-02T03:04:05Z", var.secret)`,
		`format(var.secret, 1)`, `format("%d", var.secret)`, `format("%[9]s", var.secret)`, `formatlist("%d", [var.secret])`,
		`base64decode("${var.secret}!")`, `convert(var.secret, number)`, `convert({ a = var.secret }, map(number)).a`,
		`[1, 2][var.secret]`, `{ a = 1 }[var.secret]`, `{ (var.secret) = 1 }.a`, `{ (var.secret) = 1 }[upper(var.secret)]`,
		`try(file(var.secret), jsondecode(var.secret), tonumber(var.secret))`, `1 + var.secret`, `-var.secret`, `!var.secret`, `var.secret > 1`, `var.secret ? 1 : 2`,
		`[for x in var.secret : x]`, `[for x in [var.secret] : tonumber(x)]`, `[for k, v in { (var.secret) = 1 } : tonumber(k)]`, `{ for x in [var.secret, var.secret] : x => x }[1]`,
		`substr(var.secret, "x", 1)`, `element([], var.secret)`, `lookup({ a = 1 }, var.secret, [])`, `zipmap([var.secret], [1, 2])`, `merge({}, var.secret)`, `setproduct(var.secret)`,
		`sort([var.secret, {}])`, `min(var.secret)`, `var.secret.x`, `split(var.secret, null)`, `replace(var.secret, "/(${var.secret}/", null)`, `log(-1, length(var.secret))`,
		`"%{for x in var.secret}${x}%{endfor}"`, `"%{if var.secret}x%{endif}"`, `1 / (length(var.secret) - 14)`, `indent(var.secret, "x")`, `chunklist([1], var.secret)`,
	} {
		text := text("x.hcl", header+"variable \"secret\" { sensitive = true }\nstep \"write_file\" \"a\" {\n  path    = \"/nowhere/x\"\n  content = "+expr+"\n}\n")
		all = append(all, hostile{name: fmt.Sprintf("function_%02d", i+1), args: []string{"plan", "x.hcl", "--var", "secret=hunter2hunter2"}, make: func(t *testing.T, dir string) {
			text(t, dir)
			t.Log(expr)
		}})
	}
	return all
}

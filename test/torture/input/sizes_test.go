package input

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// sizes are runbooks of too much of something.
func sizes() []hostile {
	value := func(expr string) string { return header + "step \"fail\" \"a\" {\n  message = " + expr + "\n}\n" }
	deep := func(open, within, shut string, n int) string {
		return value(strings.Repeat(open, n) + within + strings.Repeat(shut, n))
	}
	chain := func(link string, n int) string { return value("1" + strings.Repeat(link, n)) }
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	var all []hostile
	for _, c := range []struct {
		name string
		text func() string
	}{
		{"parentheses", func() string { return deep("(", "1", ")", 100_000) }},
		{"parentheses_few", func() string { return deep("(", "1", ")", 600) }},
		{"lists", func() string { return deep("[", "", "]", 200_000) }},
		{"objects", func() string { return deep("{a=", "1", "}", 100_000) }},
		{"objects_on_lines", func() string { return deep("{\na=", "1", "\n}", 100_000) }},
		{"calls", func() string { return deep("upper(", "\"x\"", ")", 100_000) }},
		{"loops", func() string { return deep("[for x in [1] : ", "x", "]", 50_000) }},
		{"templates", func() string { return deep("\"${", "1", "}\"", 100_000) }},
		{"directives", func() string {
			return value("\"" + strings.Repeat("%{if true}", 50_000) + "x" + strings.Repeat("%{endif}", 50_000) + "\"")
		}},
		{"heredocs", func() string {
			return value(strings.Repeat("<<A\n${", 50_000) + "1" + strings.Repeat("}\nA\n", 50_000))
		}},
		{"negations", func() string { return value(strings.Repeat("!", 500_000) + "true") }},
		{"minuses", func() string { return value(strings.Repeat("-", 500_000) + "1") }},
		{"sums", func() string { return chain(" + 1", 200_000) }},
		{"choices", func() string { return value(strings.Repeat("true ? 1 : ", 100_000) + "1") }},
		{"indices", func() string { return chain("[0]", 200_000) }},
		{"splats", func() string { return chain("[*]", 200_000) }},
		{"attributes", func() string { return chain(".a", 200_000) }},
		{"unclosed", func() string { return header + strings.Repeat("step \"a\" \"b\" {\n", 50_000) }},
		{"blocks", func() string { return header + strings.Repeat("a {\n", 50_000) + strings.Repeat("}\n", 50_000) }},
		{"digits", func() string { return value(strings.Repeat("1", 3<<20)) }},
		{"name", func() string {
			return header + "step \"fail\" \"" + strings.Repeat("a", 3<<20) + "\" { massage = \"no\" }\n"
		}},
		{"unknown_name", func() string { return value(strings.Repeat("a", 3<<20)) }},
		{"one_line", func() string { return header + "locals { a = [" + strings.Repeat("1, ", 300_000) + "b] }\n" }},
		{"text", func() string {
			return header + "step \"fail\" \"a\" { massage = \"" + strings.Repeat("x", 3<<20) + "\" }\n"
		}},
		{"text_of_lines", func() string {
			return header + "step \"fail\" \"a\" {\n  massage = <<EOT\n" + strings.Repeat("x\n", 200_000) + "EOT\n}\n"
		}},
		{"too_large", func() string { return header + "# " + strings.Repeat("x", 4<<20) + "\n" }},
		{"signs", func() string { return header + strings.Repeat(";", 2<<20) }},
		{"mistakes", func() string { return header + many("foo \"a%d\" {}\n", 50_000) }},
		{"undeclared", func() string { return header + "locals {\n" + many("a%d = local.b\n", 15_000) + "}\n" }},
		{"undeclared_in_one", func() string { return value("[" + many("var.a%d, ", 100_000) + "]") }},
		{"local_values", func() string { return header + "locals {\n" + many("a%d = 1\n", 150_000) + "}\n" }},
		{"blocks_of_local_values", func() string { return header + many("locals { a%d = 1 }\n", 25_000) }},
		{"variables", func() string { return header + many("variable \"a%d\" {}\n", 25_000) }},
		{"chain_of_local_values", func() string {
			return header + "locals {\n  a0 = nothing\n" + many("  b%d = 1\n", 10) + chainOfLocals(15_000) + "}\n"
		}},
		{"diamonds", func() string {
			return header + "locals {\n  a0 = \"x\" + 1\n  b0 = local.a0\n" + diamonds(60) + "}\noutput \"o\" { value = local.a60 }\n"
		}},
		{"same_reference", func() string { return value("["+strings.Repeat("local.a, ", 150_000)+"x]") + "locals { a = 1 }\n" }},
		{"for_each", func() string {
			return header + "step \"fail\" \"a\" {\n  for_each = toset([for p in setproduct(range(1000), range(60)) : join(\"-\", p)])\n  message  = each.key\n}\n"
		}},
		{"keys", func() string {
			return header + "step \"fail\" \"a\" {\n  for_each = { for i in range(20) : join(\"\", [for j in range(1000) : \"0123456789\"]) => i... }\n  message  = each.kye\n}\n"
		}},
	} {
		all = append(all, hostile{name: c.name, args: []string{"plan", "x.hcl"}, make: later("x.hcl", c.text)})
	}
	return append(all,
		hostile{name: "runbooks_in_runbooks", args: []string{"plan", "x.hcl"}, make: nest},
		hostile{name: "runbooks_by_for_each", args: []string{"plan", "x.hcl"}, make: nestByKeys},
		hostile{name: "json_deep", args: []string{"plan", "x.hcl"}, make: beside("jsondecode(file(\"data\"))", func() string { return strings.Repeat("[", 2<<20) })},
		hostile{name: "json_long", args: []string{"plan", "x.hcl"}, make: beside("jsondecode(file(\"data\"))", func() string { return "[" + strings.Repeat("0,", 2<<20-10) + "0]" })},
		hostile{name: "json_digits", args: []string{"plan", "x.hcl"}, make: beside("jsondecode(file(\"data\"))", func() string { return strings.Repeat("9", 3<<20) })},
		hostile{name: "csv_long", args: []string{"plan", "x.hcl"}, make: beside("csvdecode(file(\"data\"))", func() string { return strings.Repeat("a,\n", 1<<20) })},
		hostile{name: "number_text", args: []string{"plan", "x.hcl"}, make: beside("1 + file(\"data\")", func() string { return strings.Repeat("9", 3<<20) })},
		hostile{name: "file_again_and_again", args: []string{"plan", "x.hcl"}, make: beside("\""+strings.Repeat("${file(\"data\")}", 10)+"\"", func() string { return strings.Repeat("x", 4<<20) })},
		hostile{name: "files_without_end", args: []string{"plan", "x.hcl"}, make: manyFiles},
		hostile{name: "setting_deep", args: []string{"plan", "x.hcl", "--var", "v=" + strings.Repeat("[", 100_000)}, make: text("x.hcl", header+"variable \"v\" { type = list(any) }\n")},
		hostile{name: "plan_deep", args: []string{"run", "x.plan", "--yes"}, make: later("x.plan", func() string { return `{"runbook_plan":"1","sha256":"","header":` + strings.Repeat("[", 4<<20) })},
		hostile{name: "plan_long", args: []string{"run", "x.plan", "--yes"}, make: later("x.plan", func() string {
			return `{"runbook_plan":"1","sha256":"","header":"` + strings.Repeat("x", 48<<20) + `"}`
		})},
	)
}

// later is text for one that is made when it is needed.
func later(name string, text func() string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), text()) }
}

func chainOfLocals(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  a%d = local.a%d\n", i+1, i)
	}
	return b.String()
}

// diamonds are local values of which each needs both that are before it.
func diamonds(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  a%[1]d = [local.a%[2]d, local.b%[2]d]\n  b%[1]d = [local.b%[2]d, local.a%[2]d]\n", i+1, i)
	}
	return b.String()
}

// beside is a runbook with an expression over a file called data.
func beside(expr string, data func() string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		put(t, filepath.Join(dir, "x.hcl"), header+"step \"fail\" \"a\" {\n  message = "+expr+"\n}\n")
		put(t, filepath.Join(dir, "data"), data())
	}
}

func manyFiles(t *testing.T, dir string) {
	list := ""
	for i := range 6 {
		name := fmt.Sprintf("data%d", i)
		put(t, filepath.Join(dir, name), strings.Repeat("x", 3<<20))
		list += fmt.Sprintf("length(file(%q)), ", name)
	}
	put(t, filepath.Join(dir, "x.hcl"), header+"step \"fail\" \"a\" {\n  message = jsonencode(["+list+"])\n}\n")
}

// nest makes runbooks of which each carries out the next one twice.
func nest(t *testing.T, dir string) {
	const depth = 40
	for i := range depth {
		name, step := fmt.Sprintf("b%d.hcl", i), ""
		if i == 0 {
			name = "x.hcl"
		}
		for _, s := range []string{"left", "right"} {
			step += fmt.Sprintf("step \"runbook\" %q { source = \"b%d.hcl\" }\n", s, i+1)
		}
		put(t, filepath.Join(dir, name), header+step)
	}
	put(t, filepath.Join(dir, fmt.Sprintf("b%d.hcl", depth)), header)
}

// nestByKeys makes runbooks of which each carries out the next one ten times.
func nestByKeys(t *testing.T, dir string) {
	const depth = 10
	for i := range depth {
		name := fmt.Sprintf("b%d.hcl", i)
		if i == 0 {
			name = "x.hcl"
		}
		put(t, filepath.Join(dir, name), header+fmt.Sprintf("step \"runbook\" \"s\" {\n  for_each = toset([for i in range(10) : tostring(i)])\n  source   = \"b%d.hcl\"\n}\n", i+1))
	}
	put(t, filepath.Join(dir, fmt.Sprintf("b%d.hcl", depth)), header+"step \"fail\" \"a\" { message = \"no\" }\n")
}

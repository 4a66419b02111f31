package lang

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty/function"
)

// Function describes a function of the language.
type Function struct {
	Name       string
	Doc        string // one paragraph; the first sentence is the summary
	Parameters []Parameter
	Example    string // an expression
	Value      string // what it evaluates to, also as an expression
}

// Parameter is one parameter of a function.
type Parameter struct {
	Name, Doc string
	Type      string // as people read it
	Variadic  bool   // may be given any number of times
}

// Functions describes all functions, in the order of their names.
func Functions() []Function {
	all := functions(NewSources(Source{}), &factReader{})
	var out []Function
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, describe(name, all[name]))
	}
	return out
}

func describe(name string, f function.Function) Function {
	text := functionTexts[name]
	out := Function{Name: name, Doc: cmp.Or(text.doc, f.Description()), Example: text.example, Value: text.value}
	for _, p := range f.Params() {
		out.Parameters = append(out.Parameters, parameter(p, false))
	}
	if p := f.VarParam(); p != nil {
		out.Parameters = append(out.Parameters, parameter(*p, true))
	}
	return out
}

func parameter(p function.Parameter, variadic bool) Parameter {
	typ := p.Type.FriendlyNameForConstraint()
	switch typ {
	case "any type":
		typ = "any"
	case "expression closure":
		typ = "expression"
	case "type constraint":
		typ = "type"
	}
	return Parameter{Name: p.Name, Doc: p.Description, Type: strings.ReplaceAll(typ, " of any single type", ""), Variadic: variadic}
}

// functionTexts holds an example for every function, and a description where
// the function's own is missing or says less.
var functionTexts = map[string]struct{ doc, example, value string }{
	"abs":      {"", `abs(-3)`, `3`},
	"ceil":     {"", `ceil(2.1)`, `3`},
	"floor":    {"Returns the greatest whole number that is less than or equal to the given value.", `floor(2.9)`, `2`},
	"log":      {"", `log(8, 2)`, `3`},
	"max":      {"", `max(2, 7, 5)`, `7`},
	"min":      {"", `min(2, 7, 5)`, `2`},
	"pow":      {"", `pow(2, 10)`, `1024`},
	"signum":   {"", `signum(-8)`, `-1`},
	"parseint": {"", `parseint("644", 8)`, `420`},

	"chomp":         {"", `chomp("cp1\n")`, `"cp1"`},
	"format":        {"Fills values into a text: %s a text, %d a whole number, %05.1f a number, %q a quoted text, %v anything, %% a percent sign.", `format("%s-%03d", "member", 7)`, `"member-007"`},
	"formatlist":    {"As format, once for each element of the lists among its arguments.", `formatlist("https://%s:2379", ["cp1", "cp2"])`, `["https://cp1:2379", "https://cp2:2379"]`},
	"indent":        {"", `indent(2, "a\nb")`, `"a\n  b"`},
	"join":          {"", `join(",", ["cp1", "cp2"])`, `"cp1,cp2"`},
	"lower":         {"", `lower("ETCD")`, `"etcd"`},
	"upper":         {"", `upper("etcd")`, `"ETCD"`},
	"title":         {"", `title("control plane")`, `"Control Plane"`},
	"regex":         {"Applies a regular expression (RE2) to a text and returns the first match: the text of it, or its groups where the expression has some. It is an error if there is no match; see can.", `regex("[0-9]+", "backup-42.db")`, `"42"`},
	"regexall":      {"", `regexall("[0-9]+", "10.0.0.7")`, `["10", "0", "0", "7"]`},
	"regex_replace": {"", `regex_replace("backup-42.db", "-([0-9]+)", "_$1")`, `"backup_42.db"`},
	"replace":       {"", `replace("10.0.0.7", ".", "-")`, `"10-0-0-7"`},
	"split":         {"", `split(",", "cp1,cp2")`, `["cp1", "cp2"]`},
	"strlen":        {"", `strlen("etcd")`, `4`},
	"strrev":        {"", `strrev("abc")`, `"cba"`},
	"substr":        {"", `substr("etcd-restore", 5, 7)`, `"restore"`},
	"startswith":    {"", `startswith("/var/lib/etcd", "/var/")`, `true`},
	"endswith":      {"", `endswith("backup.db", ".db")`, `true`},
	"trim":          {"", `trim("--cp1--", "-")`, `"cp1"`},
	"trimprefix":    {"", `trimprefix("https://cp1", "https://")`, `"cp1"`},
	"trimsuffix":    {"", `trimsuffix("backup.db", ".db")`, `"backup"`},
	"trimspace":     {"", `trimspace("  cp1\n")`, `"cp1"`},

	"chunklist":       {"", `chunklist(["a", "b", "c"], 2)`, `[["a", "b"], ["c"]]`},
	"coalesce":        {"", `coalesce(null, "cp1")`, `"cp1"`},
	"coalescelist":    {"", `coalescelist([], ["cp1"])`, `["cp1"]`},
	"compact":         {"", `compact(["a", "", "b"])`, `["a", "b"]`},
	"concat":          {"", `concat(["a"], ["b", "c"])`, `["a", "b", "c"]`},
	"contains":        {"", `contains(["cp1", "cp2"], "cp2")`, `true`},
	"distinct":        {"", `distinct(["a", "b", "a"])`, `["a", "b"]`},
	"element":         {"", `element(["a", "b"], 3)`, `"b"`},
	"flatten":         {"", `flatten([["a"], ["b", ["c"]]])`, `["a", "b", "c"]`},
	"keys":            {"", `keys({ b = 2, a = 1 })`, `["a", "b"]`},
	"values":          {"", `values({ b = 2, a = 1 })`, `[1, 2]`},
	"length":          {"", `length(["cp1", "cp2"])`, `2`},
	"lookup":          {"", `lookup({ cp1 = "10.0.0.7" }, "cp2", "unknown")`, `"unknown"`},
	"merge":           {"", `merge({ a = 1, b = 2 }, { b = 3 })`, `{ a = 1, b = 3 }`},
	"range":           {"Returns a list of numbers: to a limit, from a start to a limit, or in steps of the third argument. The limit itself is not among them.", `range(1, 4)`, `[1, 2, 3]`},
	"reverse":         {"", `reverse(["a", "b"])`, `["b", "a"]`},
	"slice":           {"", `slice(["a", "b", "c"], 1, 3)`, `["b", "c"]`},
	"sort":            {"", `sort(["b", "a"])`, `["a", "b"]`},
	"setintersection": {"", `setintersection(["a", "b"], ["b", "c"])`, `["b"]`},
	"setproduct":      {"", `setproduct(["a", "b"], ["x"])`, `[["a", "x"], ["b", "x"]]`},
	"setsubtract":     {"", `setsubtract(["a", "b"], ["b"])`, `["a"]`},
	"setunion":        {"", `setunion(["a"], ["b"])`, `["a", "b"]`},
	"zipmap":          {"", `zipmap(["a", "b"], [1, 2])`, `{ a = 1, b = 2 }`},

	"tostring": {"Turns a number or a bool into a text.", `tostring(7)`, `"7"`},
	"tonumber": {"Turns a text into a number, or is an error where it isn't one.", `tonumber("7")`, `7`},
	"tobool":   {`Turns "true" or "false" into a bool.`, `tobool("true")`, `true`},
	"tolist":   {"Turns a set or a tuple into a list, whose elements all have one type.", `tolist(["a", 1])`, `["a", "1"]`},
	"toset":    {"Turns a list or a tuple into a set, which has each element once and in no order.", `toset(["a", "b", "a"])`, `["a", "b"]`},
	"tomap":    {"Turns an object into a map, whose elements all have one type.", `tomap({ a = 1 })`, `{ a = 1 }`},
	"convert":  {"Turns a value into one of the given type.", `convert("7", number)`, `7`},

	"csvdecode":    {"", `csvdecode("name,ip\ncp1,10.0.0.7")`, `[{ name = "cp1", ip = "10.0.0.7" }]`},
	"jsondecode":   {"", `jsondecode("{\"revision\": 51}")`, `{ revision = 51 }`},
	"jsonencode":   {"", `jsonencode({ revision = 51 })`, `"{\"revision\":51}"`},
	"base64encode": {"", `base64encode("etcd")`, `"ZXRjZA=="`},
	"base64decode": {"", `base64decode("ZXRjZA==")`, `"etcd"`},
	"formatdate":   {"Writes a time in another form: YYYY, MM, DD, hh, mm and ss stand for its parts, and text in single quotes for itself. run.started is the time at which the run began.", `formatdate("YYYYMMDD-hhmmss", "2026-01-02T03:04:05Z")`, `"20260102-030405"`},
	"timeadd":      {"", `timeadd("2026-01-02T03:04:05Z", "-1h")`, `"2026-01-02T02:04:05Z"`},

	"can": {"Whether an expression can be evaluated without an error.", `can(regex("[0-9]", "abc"))`, `false`},
	"try": {"Returns the value of the first of its expressions that can be evaluated without an error.", `try(tonumber("many"), 1)`, `1`},

	"basename": {"", `basename("/var/lib/etcd")`, `"etcd"`},
	"dirname":  {"", `dirname("/var/lib/etcd")`, `"/var/lib"`},
	"file":     {"The content of a text file. A relative name is relative to the runbook. What is read becomes part of the run's journal.", `file("expected-members.txt")`, `"cp1\n"`},
	"path":     {"", `path("/var/lib/etcd").exists`, `true`},
	"unit":     {"", `unit("etcd.service").active`, `true`},
}

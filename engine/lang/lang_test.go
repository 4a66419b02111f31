package lang_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

var update = flag.Bool("update", false, "write the diagnostics that were found into testdata")

// registry declares things to write runbooks about. Nothing is ever carried
// out with it.
func registry() *engine.Registry {
	text := func(name string, required bool) engine.Attribute {
		return engine.Attribute{Name: name, Type: cty.String, Required: required}
	}
	absolute := text("path", true)
	absolute.Check = func(v cty.Value) error {
		if !strings.HasPrefix(v.AsString(), "/") {
			return errors.New("it has to be an absolute path")
		}
		return nil
	}
	return &engine.Registry{
		Actions: []engine.Spec{{
			Name:       "touch",
			Attributes: []engine.Attribute{absolute, {Name: "size", Type: cty.Number, Default: cty.NumberIntVal(7)}, text("owner", false)},
			Results:    []engine.Attribute{{Name: "inode", Type: cty.Number}},
		}, {
			Name: "burn", Attributes: []engine.Attribute{absolute}, Destroys: true,
		}},
		Data: []engine.DataSpec{{
			Name:       "disk",
			Attributes: []engine.Attribute{text("device", true)},
			Results:    []engine.Attribute{{Name: "size", Type: cty.Number}, {Name: "label", Type: cty.String}},
		}},
	}
}

func load(text string) (*lang.Runbook, hcl.Diagnostics) {
	return lang.Load(lang.NewSources(lang.Source{Name: "test.hcl", Text: text}), registry())
}

func render(t *testing.T, rb *lang.Runbook, diags hcl.Diagnostics) string {
	t.Helper()
	var b bytes.Buffer
	if err := hcl.NewDiagnosticTextWriter(&b, rb.Files, 78, false).WriteDiagnostics(diags); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every mistake in testdata gets the diagnostics that stand beside it: all of
// them, in the order of the file.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			last := len(ar.Files) - 1
			files := []lang.Source{{Name: "test.hcl", Text: string(ar.Files[0].Data)}}
			for _, f := range ar.Files[1:last] {
				files = append(files, lang.Source{Name: f.Name, Text: string(f.Data)})
			}
			rb, diags := lang.Load(lang.NewSources(files...), registry())
			got := render(t, rb, diags)
			if *update {
				ar.Files[last].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(ar.Files[last].Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// settings are texts as given on the command line.
func settings(texts map[string]string) lang.Settings {
	set := lang.Settings{}
	for name, text := range texts {
		set[name] = lang.Setting{Text: text}
	}
	return set
}

const header = "runbook \"test\" {}\n"

func scopeOf(t *testing.T, text string, set map[string]string) *lang.Scope {
	t.Helper()
	rb, diags := load(header + text)
	if diags.HasErrors() {
		t.Fatal(render(t, rb, diags))
	}
	vars, diags := rb.VariableValues(settings(set))
	if diags.HasErrors() {
		t.Fatal(render(t, rb, diags))
	}
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return lang.NewScope(rb, vars, engine.RunInfo{ID: "r1", Started: started})
}

func config(t *testing.T, s *lang.Scope, step string) lang.Evaluated {
	t.Helper()
	cfg, diags := s.Config(s.Book.Step(step).Config, cty.NilVal)
	if diags.HasErrors() {
		t.Fatal(render(t, s.Book, diags))
	}
	return cfg
}

func TestEvaluation(t *testing.T) {
	s := scopeOf(t, `
variable "dir" { type = string }
variable "sizes" { type = list(number) }
locals {
  base = "${var.dir}/${run.id}"
  file = "${local.base}.${formatdate("YYYY", run.started)}"
}
data "disk" "root" { device = "/dev/sda" }
step "touch" "one" {
  path = local.file
  size = max(var.sizes...) + data.disk.root.size
}
`, map[string]string{"dir": "/srv", "sizes": "[1, 30, 2]"})
	s.Data["disk.root"] = cty.ObjectVal(map[string]cty.Value{"size": cty.NumberIntVal(100), "label": cty.StringVal("x")})
	got := config(t, s, "one").Value
	want := cty.ObjectVal(map[string]cty.Value{
		"path": cty.StringVal("/srv/r1.2026"), "size": cty.NumberIntVal(130), "owner": cty.NullVal(cty.String),
	})
	if !got.RawEquals(want) {
		t.Errorf("got %#v", got)
	}
}

func TestDefaultsFillWhatIsNotSetOrNull(t *testing.T) {
	s := scopeOf(t, `
step "touch" "unset" { path = "/a" }
step "touch" "null" {
  path = "/a"
  size = null
}
`, nil)
	for _, step := range []string{"unset", "null"} {
		if got := config(t, s, step).Value.GetAttr("size"); !got.RawEquals(cty.NumberIntVal(7)) {
			t.Errorf("%s: %#v", step, got)
		}
	}
}

// What an earlier step will produce is unknown, through locals too, and the
// step that it waits for is named.
func TestUnknownValuesNameTheirStep(t *testing.T) {
	s := scopeOf(t, `
locals { inode = step.one.inode }
step "touch" "one" { path = "/a" }
step "touch" "two" {
  path = "/a"
  size = local.inode + 1
}
`, nil)
	cfg := config(t, s, "two")
	if cfg.Known() || cfg.Because != "one" {
		t.Errorf("known %v, because %q", cfg.Known(), cfg.Because)
	}
	s.Steps["one"] = cty.ObjectVal(map[string]cty.Value{"inode": cty.NumberIntVal(5)})
	if got := config(t, s, "two").Value.GetAttr("size"); !got.RawEquals(cty.NumberIntVal(6)) {
		t.Errorf("got %#v", got)
	}
}

func TestSensitiveValues(t *testing.T) {
	const secret = "hunter2-secret"
	s := scopeOf(t, `
variable "password" {
  type = string
  sensitive = true
}
step "touch" "one" {
  path = "/x/${upper(var.password)}"
  owner = "root"
  precondition {
    condition = length(var.password) == 0
    error_message = "bad: ${var.password}"
  }
  precondition {
    condition = var.password + 1 == 2
    error_message = "no number"
  }
}
`, map[string]string{"password": secret})
	cfg := config(t, s, "one")
	if len(cfg.Sensitive) != 1 || cfg.Sensitive[0] != "path" || len(cfg.Secrets) != 1 || cfg.Secrets[0] != "/x/HUNTER2-SECRET" {
		t.Errorf("sensitive %v, secrets %v", cfg.Sensitive, cfg.Secrets)
	}
	step := s.Book.Step("one")
	for _, c := range step.Preconditions {
		res, diags := s.Check(c, cty.NilVal)
		if res.OK {
			t.Error("the condition holds")
		}
		if shown := render(t, s.Book, diags) + res.Message; strings.Contains(shown, secret) {
			t.Errorf("the secret is shown:\n%s", shown)
		}
	}
}

// facts are those of a made-up host.
type facts struct{ hashed *bool }

func (f facts) Path(path string, hash bool) (engine.PathFact, error) {
	*f.hashed = *f.hashed || hash
	if path == "/later" {
		return engine.PathFact{}, &engine.UnknownError{Step: "mover"}
	}
	return engine.PathFact{Path: path, Exists: path == "/there", Type: engine.TypeFile, Mode: 0o600, Free: 1000, SHA256: "abc"}, nil
}

func (facts) Unit(name string) (engine.UnitFact, error) {
	return engine.UnitFact{Name: name, LoadState: "loaded", ActiveState: "failed", SubState: "failed"}, nil
}

func TestFacts(t *testing.T) {
	for _, c := range []struct {
		condition     string
		ok            bool
		because       string
		hashed, fails bool
	}{
		{condition: `path("/there").exists && path("/there").mode == "0600" && path("/nowhere").free == 1000`, ok: true},
		{condition: `path("/nowhere").exists`},
		{condition: `path("/nowhere").owner == null`, ok: true},
		{condition: `path("/there").sha256 == "abc"`, ok: true, hashed: true},
		{condition: `path("/there")["sha256"] == "abc"`, ok: true, hashed: true},
		{condition: `local.there.sha256 == "abc"`, ok: true, hashed: true},
		{condition: `local.there.exists`, ok: true},
		{condition: `path("/later").exists`, because: "mover"},
		{condition: `unit("etcd.service").loaded && !unit("etcd.service").active && unit("x").state == "failed"`, ok: true},
		{condition: `path("/there").nothing`, fails: true},
	} {
		rb, diags := load(header + "locals {\n there = path(\"/there\")\n}\nstep \"touch\" \"one\" {\n path = \"/a\"\n precondition {\n condition = " + c.condition + "\n error_message = \"no\"\n }\n}\n")
		if diags.HasErrors() != c.fails {
			t.Errorf("%s: %s", c.condition, render(t, rb, diags))
		}
		if c.fails {
			continue
		}
		hashed := false
		s := lang.NewScope(rb, nil, engine.RunInfo{})
		s.Facts = facts{&hashed}
		res, diags := s.Check(rb.Steps[0].Preconditions[0], cty.NilVal)
		if diags.HasErrors() || res.OK != c.ok || res.Because != c.because || hashed != c.hashed {
			t.Errorf("%s: %+v, hashed %v, %v", c.condition, res, hashed, diags)
		}
	}
}

// What is wrong with a sensitive value is told without the value, and without
// what a function has made of it.
func TestMistakesInSensitiveValues(t *testing.T) {
	for _, path := range []string{`var.secret`, `upper(var.secret)`, `tostring(parseint(upper(var.secret), 10))`} {
		s := scopeOf(t, "variable \"secret\" {\n type = string\n sensitive = true\n}\nstep \"touch\" \"one\" {\n path = "+path+"\n}\n", map[string]string{"secret": "hunter2"})
		_, diags := s.Config(s.Book.Steps[0].Config, cty.NilVal)
		if shown := render(t, s.Book, diags); !diags.HasErrors() || strings.Contains(strings.ToLower(shown), "hunter2") {
			t.Errorf("%s:\n%s", path, shown)
		}
	}
}

// A default would put the secret into the file, and with it into the journal.
func TestSensitiveVariablesHaveNoDefault(t *testing.T) {
	for value, ok := range map[string]bool{`"hunter2"`: false, "null": true} {
		_, diags := load(header + "variable \"v\" {\n sensitive = true\n default = " + value + "\n}\n")
		if diags.HasErrors() == ok {
			t.Errorf("default = %s: %v", value, diags)
		}
	}
}

// A message may speak of what is only there where the condition doesn't hold.
func TestMessageOfAConditionThatHolds(t *testing.T) {
	s := scopeOf(t, `
step "touch" "one" {
  path = "/a"
  precondition {
    condition     = !path("/nowhere").exists
    error_message = "There is a ${path("/nowhere").type}."
  }
}
`, nil)
	s.Facts = facts{new(bool)}
	res, diags := s.Check(s.Book.Steps[0].Preconditions[0], cty.NilVal)
	if diags.HasErrors() || !res.OK {
		t.Errorf("%+v, %v", res, diags)
	}
}

// A file that was read is part of the sources; a resume sees what was read
// then and nothing else.
func TestFilesBesideTheRunbookArePinned(t *testing.T) {
	dir := t.TempDir()
	text := header + "step \"touch\" \"one\" { path = trimspace(file(\"name.txt\")) }\n"
	for name, content := range map[string]string{"test.hcl": text, "name.txt": "/first\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src, err := lang.ReadSources(filepath.Join(dir, "test.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if _, diags := lang.Load(src, registry()); diags.HasErrors() {
		t.Fatal(diags)
	}
	if err := os.Remove(filepath.Join(dir, "name.txt")); err != nil {
		t.Fatal(err)
	}
	rb, diags := lang.Load(lang.NewSources(src.All()...), registry())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	s := lang.NewScope(rb, nil, engine.RunInfo{})
	if got := config(t, s, "one").Value.GetAttr("path").AsString(); got != "/first" {
		t.Errorf("got %q", got)
	}
}

func TestVariableMistakes(t *testing.T) {
	rb, diags := load(header + "variable \"n\" { type = number }\nvariable \"m\" { type = list(string) }\n")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for name, c := range map[string]struct {
		set  map[string]string
		want string
	}{
		"missing":    {map[string]string{"m": "[]"}, "--var n="},
		"wrong type": {map[string]string{"n": "many", "m": "[]"}, `given for "n"`},
		"not HCL":    {map[string]string{"n": "1", "m": "[oops"}, `given for "m"`},
		"undeclared": {map[string]string{"n": "1", "m": "[]", "k": "1"}, `"k"`},
	} {
		if _, diags := rb.VariableValues(settings(c.set)); !strings.Contains(render(t, rb, diags), c.want) {
			t.Errorf("%s: %q not in\n%s", name, c.want, render(t, rb, diags))
		}
	}
}

func TestRetryDelaysGrowToTheirBound(t *testing.T) {
	r := lang.Retry{Backoff: 2, MaxDelay: 5 * time.Second}
	var got []time.Duration
	for d, i := time.Second, 0; i < 4; d, i = r.Next(d), i+1 {
		got = append(got, d/time.Second)
	}
	want := []time.Duration{1, 2, 4, 5}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v", got)
		}
	}
}

func TestSettingsAndTheirOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vars.hcl")
	if err := os.WriteFile(file, []byte("a = \"file\"\nb = \"file\"\nn = [1, 2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rb, diags := load(header + "variable \"a\" {}\nvariable \"b\" {}\nvariable \"c\" { type = string }\nvariable \"n\" { type = list(number) }\n")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	set, err := lang.ReadSettings([]string{"RUNBOOK_VAR_b=env", "RUNBOOK_VAR_c=env", "HOME=/"}, []string{file}, []string{"a=flag=1"})
	if err != nil {
		t.Fatal(err)
	}
	vals, diags := rb.VariableValues(set)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for name, want := range map[string]string{"a": "flag=1", "b": "file", "c": "env"} {
		if got := vals[name].AsString(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if vals["n"].LengthInt() != 2 {
		t.Errorf("n: %#v", vals["n"])
	}
}

func TestMistakesInSettings(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.hcl")
	if err := os.WriteFile(bad, []byte("a = var.b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{bad}, {filepath.Join(dir, "none.hcl")}} {
		if _, err := lang.ReadSettings(nil, files, nil); err == nil {
			t.Errorf("took %v", files)
		}
	}
}

func TestValidation(t *testing.T) {
	rb, diags := load(header + `
variable "port" {
  type = number
  validation {
    condition     = self > 0 && self < 65536
    error_message = "${self} is no port"
  }
}
`)
	if diags.HasErrors() {
		t.Fatal(render(t, rb, diags))
	}
	if _, diags := rb.VariableValues(settings(map[string]string{"port": "80"})); diags.HasErrors() {
		t.Error(diags)
	}
	_, diags = rb.VariableValues(settings(map[string]string{"port": "70000"}))
	if text := render(t, rb, diags); !strings.Contains(text, "var.port: 70000 is no port.") || !strings.Contains(text, "self > 0") {
		t.Error(text)
	}
}

// Of some attributes an action takes one, or none beside a postcondition.
func TestOneOf(t *testing.T) {
	text := func(name string) engine.Attribute { return engine.Attribute{Name: name, Type: cty.String} }
	reg := &engine.Registry{Actions: []engine.Spec{{
		Name: "watch", Attributes: []engine.Attribute{text("path"), text("unit"), text("note")}, OneOf: []string{"path", "unit"},
	}}}
	const post = "postcondition {\n condition = path(\"/a\").exists\n error_message = \"no\"\n }\n"
	for body, want := range map[string]string{
		"path = \"/a\"\n":        "",
		post:                     "",
		"path = \"/a\"\n" + post: "",
		"note = \"x\"\n":         "set one of path, unit, or give the step a postcondition",
		"path = \"/a\"\nunit = \"a.service\"\n" + post: "path and unit are both set",
		post + "rollback \"watch\" {}\n":               "Nothing is set that watch works on",
	} {
		src := lang.NewSources(lang.Source{Name: "test.hcl", Text: header + "step \"watch\" \"one\" {\n" + body + "}\n"})
		rb, diags := lang.Load(src, reg)
		got := strings.Join(strings.Fields(render(t, rb, diags)), " ")
		if diags.HasErrors() != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s", body, got)
		}
	}
}

// A runbook that comes with the binary reads what it names from there.
func TestSourcesOfAFileSystem(t *testing.T) {
	files := fstest.MapFS{
		"drills/outer.hcl": {Data: []byte("runbook \"outer\" {}\nstep \"runbook\" \"inner\" { source = \"../inner.hcl\" }\n")},
		"inner.hcl":        {Data: []byte("runbook \"inner\" {}\n")},
	}
	src, err := lang.ReadSourcesIn(files, "drills/outer.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if rb, diags := lang.Load(src, registry()); diags.HasErrors() {
		t.Error(render(t, rb, diags))
	}
	if len(src.All()) != 2 {
		t.Errorf("%d files", len(src.All()))
	}
	delete(files, "inner.hcl")
	src, err = lang.ReadSourcesIn(files, "drills/outer.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if _, diags := lang.Load(src, registry()); !diags.HasErrors() {
		t.Error("a file that isn't there is no mistake")
	}
}

// convert() names types, which are no references.
func TestConvertTakesTypes(t *testing.T) {
	s := scopeOf(t, `
variable "size" { default = "7" }
step "touch" "one" {
  path  = "/a"
  size  = max(convert([var.size], list(number))...) + convert("1", number)
  owner = convert({ a = 1 }, map(string)).a
}
`, nil)
	got := config(t, s, "one").Value
	want := cty.ObjectVal(map[string]cty.Value{
		"path": cty.StringVal("/a"), "size": cty.NumberIntVal(8), "owner": cty.StringVal("1"),
	})
	if !got.RawEquals(want) {
		t.Errorf("got %#v", got)
	}
}

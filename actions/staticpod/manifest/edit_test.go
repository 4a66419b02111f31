package manifest

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func to(value string) *string { return &value }

// An edit of a manifest as kubeadm writes it changes the lines that it means,
// and no byte beside them.
func TestEditOfKubeadmsManifests(t *testing.T) {
	for name, tt := range map[string]struct {
		file string
		edit Edit
		want []string // old line, new line, …; an empty one is not there
	}{
		"a flag that is set": {"etcd.yaml", Edit{Flags: map[string]*string{"data-dir": to("/var/lib/etcd-new")}},
			[]string{"    - --data-dir=/var/lib/etcd\n", "    - --data-dir=/var/lib/etcd-new\n"}},
		"a flag that is not set": {"etcd.yaml", Edit{Flags: map[string]*string{"initial-cluster-token": to("restored-1")}},
			[]string{"    - --watch-progress-notify-interval=5s\n", "    - --watch-progress-notify-interval=5s\n    - --initial-cluster-token=restored-1\n"}},
		"a flag taken away": {"etcd.yaml", Edit{Flags: map[string]*string{"snapshot-count": nil, "no-such-flag": nil}},
			[]string{"    - --snapshot-count=10000\n", ""}},
		"a value that needs quotes": {"etcd.yaml", Edit{Flags: map[string]*string{"name": to("a: b #c")}},
			[]string{"    - --name=cp1\n", "    - \"--name=a: b #c\"\n"}},
		"a volume and the image": {"etcd.yaml", Edit{HostPaths: map[string]string{"etcd-data": "/srv/etcd"}, Image: "registry.k8s.io/etcd:3.6.5-0"},
			[]string{"      path: /var/lib/etcd\n", "      path: /srv/etcd\n", "etcd:3.6.16-0", "etcd:3.6.5-0"}},
		"the API server": {"kube-apiserver.yaml", Edit{Container: "kube-apiserver", Flags: map[string]*string{"etcd-servers": to("https://127.0.0.1:12379")}},
			[]string{"--etcd-servers=https://127.0.0.1:2379", "--etcd-servers=https://127.0.0.1:12379"}},
	} {
		t.Run(name, func(t *testing.T) {
			old := fixture(t, tt.file)
			want := strings.NewReplacer(tt.want...).Replace(old)
			edits(t, old, want, tt.edit)
			edits(t, strings.ReplaceAll(old, "\n", "\r\n"), strings.ReplaceAll(want, "\n", "\r\n"), tt.edit)
			edits(t, want, want, tt.edit)
		})
	}
}

const head = "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\nspec:\n  containers:\n  - name: etcd\n"

func TestEditOfOtherStyles(t *testing.T) {
	for name, tt := range map[string]struct {
		old, want string
		edit      Edit
	}{
		"inline list, first of two": {"    command: [etcd, --name=a, --data-dir=/d]\n", "    command: [etcd, --name=b, --data-dir=/d]\n",
			Edit{Flags: map[string]*string{"name": to("b")}}},
		"inline list, added": {"    command: [etcd, '--name=a']  # ours\n", "    command: [etcd, '--name=a', '--initial-cluster-token=t']  # ours\n",
			Edit{Flags: map[string]*string{"initial-cluster-token": to("t")}}},
		"inline list, a comma in the value": {"    command: [etcd, --name=a]\n", "    command: [etcd, \"--name=b,c\"]\n",
			Edit{Flags: map[string]*string{"name": to("b,c")}}},
		"inline list, the last two taken away": {"    command: [etcd, --name=a, --x=1,\n      --y, 2]\n", "    command: [etcd, --name=a]\n",
			Edit{Flags: map[string]*string{"x": nil, "y": nil}}},
		"inline list, the first taken away": {"    command: [etcd]\n    args: [ --x=1 , --y=2 ]\n", "    command: [etcd]\n    args: [ --y=2 ]\n",
			Edit{Flags: map[string]*string{"x": nil}}},
		"quotes": {"    command:\n    - \"etcd\"\n    - \"--name=a \\\" b\"\n    - '--data-dir=/it''s'\n", "    command:\n    - \"etcd\"\n    - \"--name=b\"\n    - '--data-dir=/isn''t'\n",
			Edit{Flags: map[string]*string{"name": to("b"), "data-dir": to("/isn't")}}},
		"name and value apart": {"    command: [etcd]\n    args:\n    - --name\n    - a  # the name\n    - -data-dir\n    - /d\n", "    command: [etcd]\n    args:\n    - --name\n    - b  # the name\n    - --new=n\n",
			Edit{Flags: map[string]*string{"name": to("b"), "data-dir": nil, "new": to("n")}}},
		"a value that YAML takes for another type": {"    args:\n    - --name\n    - a\n", "    args:\n    - --name\n    - \"yes\"\n",
			Edit{Flags: map[string]*string{"name": to("yes")}}},
		"a switch gets a value": {"    command: [etcd, --debug]\n", "    command: [etcd, --debug=false]\n", Edit{Flags: map[string]*string{"debug": to("false")}}},
		"comments": {"    # before\n    command:  # here\n      # inside\n      - etcd\n      - --name=a # beside\n      # behind\n    image: x\n", "    # before\n    command:  # here\n      # inside\n      - etcd\n      - --name=b # beside\n      - --new=1\n      # behind\n    image: x\n",
			Edit{Flags: map[string]*string{"name": to("b"), "new": to("1")}}},
		"a flag's name": {"    command: [etcd, \"--nmae=a\", -data-dri, /d, '--nmae-of=x']  # so\n", "    command: [etcd, \"--name=b\", -data-dir, /d, '--nmae-of=x']  # so\n",
			Edit{Renames: map[string]string{"nmae": "name", "data-dri": "data-dir"}, Flags: map[string]*string{"name": to("b")}}},
		"a flag's name in lines": {"    command:\n    - etcd\n    - --lisen-peer-urls=https://h:1,https://i:2 # both\n    args:\n    - --debgu\n", "    command:\n    - etcd\n    - --listen-peer-urls=https://h:1,https://i:2 # both\n    args:\n    - --debug\n",
			Edit{Renames: map[string]string{"lisen-peer-urls": "listen-peer-urls", "debgu": "debug"}}},
		"inline hostPath": {"    command: [etcd]\n  volumes:\n  - {name: other, hostPath: {path: /o}}\n  - {name: data, hostPath: {path: /d, type: Directory}}\n", "    command: [etcd]\n  volumes:\n  - {name: other, hostPath: {path: /o}}\n  - {name: data, hostPath: {path: /new, type: Directory}}\n",
			Edit{HostPaths: map[string]string{"data": "/new"}}},
		"characters of several bytes": {"    command: [\"etcd\", \"--ü=é\", \"--name=ä\"]\n", "    command: [\"etcd\", \"--ü=é\", \"--name=ö\"]\n",
			Edit{Flags: map[string]*string{"name": to("ö")}}},
		"no line break at the end": {"    command:\n    - etcd", "    command:\n    - etcd\n    - --name=a", Edit{Flags: map[string]*string{"name": to("a")}}},
	} {
		t.Run(name, func(t *testing.T) {
			edits(t, head+tt.old, head+tt.want, tt.edit)
			edits(t, head+tt.want, head+tt.want, tt.edit)
		})
	}
	edits(t, `{"kind":"Pod","spec":{"containers":[{"command":["etcd","--name=a"]}]}}`,
		`{"kind":"Pod","spec":{"containers":[{"command":["etcd","--name=b", "--new=1"]}]}}`,
		Edit{Flags: map[string]*string{"name": to("b"), "new": to("1")}})
}

func TestRefusedEdits(t *testing.T) {
	flags := func(name string) Edit { return Edit{Flags: map[string]*string{name: to("new")}} }
	for name, tt := range map[string]struct {
		text    string
		edit    Edit
		problem string
	}{
		"two documents":         {head + "    command: [etcd]\n---\nkind: Pod\n", flags("x"), "more than one document"},
		"no pod":                {"kind: Deployment\n", flags("x"), "no Pod"},
		"a tab":                 {head + "\tcommand: [etcd]\n", flags("x"), "no YAML"},
		"a key twice":           {head + "    command: [etcd]\n    command: [etcd]\n", flags("x"), "already defined"},
		"no such container":     {head + "    command: [etcd]\n", Edit{Container: "db", Image: "x"}, `no container "db"; there is etcd`},
		"two containers":        {head + "    command: [etcd]\n  - name: b\n", flags("x"), "has to be named"},
		"neither name":          {head + "    command: [etcd, --x=1]\n", Edit{Renames: map[string]string{"y": "z"}}, "neither flag --y nor --z is set"},
		"both names":            {head + "    command: [etcd, --x=1, --y=2]\n", Edit{Renames: map[string]string{"x": "y"}}, "--y is set as well"},
		"a name twice":          {head + "    command: [etcd, --x=1, --x=2]\n", Edit{Renames: map[string]string{"x": "y"}}, "more than once"},
		"no command":            {head + "    image: x\n", flags("x"), "neither command nor args"},
		"a shell's script":      {head + "    command: [/bin/sh, -ec, 'etcd --x=1']\n", flags("x"), "shell's script"},
		"a flag twice":          {head + "    command: [etcd, --x=1, -x=2]\n", flags("x"), "more than once"},
		"an anchor":             {head + "    command: [etcd, &f --x=1]\n", flags("x"), "shared by an anchor"},
		"an anchored list":      {head + "    command: &c [etcd, --x=1]\n", flags("x"), "no list of its own"},
		"an alias":              {head + "    image: &i x\n    command: [*i, --x=1]\n", flags("x"), "no text"},
		"shared from above":     {strings.Replace(head, "metadata:", "more: &m {command: [etcd, --x=1]}\nmetadata:", 1) + "    <<: *m\n", flags("x"), "neither command nor args"},
		"several lines":         {head + "    command:\n    - etcd\n    - --x=1\n      more\n", flags("x"), "over several lines"},
		"a tag":                 {head + "    command: [etcd, !!str --x=1]\n", flags("x"), "with a tag"},
		"no such volume":        {head + "    command: [etcd]\n", Edit{HostPaths: map[string]string{"data": "/d"}}, `no volume "data"`},
		"an empty volume":       {head + "    command: [etcd]\n  volumes: [{name: data, emptyDir: {}}]\n", Edit{HostPaths: map[string]string{"data": "/d"}}, "no path of the host"},
		"no image":              {head + "    command: [etcd]\n", Edit{Image: "x"}, "no image"},
		"a value like a flag":   {head + "    command: [etcd, --x, v]\n", Edit{Flags: map[string]*string{"x": to("-1")}}, "would be taken for a flag"},
		"name there value here": {head + "    command: [etcd, --x]\n    args: [v]\n", Edit{Flags: map[string]*string{"x": nil}}, "its value in args"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := tt.edit.Apply([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("got %q, %v; want %q", out, err, tt.problem)
			}
		})
	}
}

func TestEditTellsTheDifferences(t *testing.T) {
	_, got, err := Edit{Flags: map[string]*string{"name": to("cp2"), "token": to("t"), "snapshot-count": nil}, Image: "e:1", Renames: map[string]string{"data-dir": "data-dri"}}.Apply([]byte(fixture(t, "etcd.yaml")))
	want := []Difference{
		{"name of flag --data-dir", "--data-dir", "--data-dri"},
		{"flag --name", "cp1", "cp2"}, {"flag --snapshot-count", "10000", "not set"}, {"flag --token", "not set", "t"},
		{"image", "registry.k8s.io/etcd:3.6.16-0", "e:1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Whatever the text, an edit is refused or comes to what it wants: nobody
// panics, and the same edit finds nothing left to do.
func FuzzEdit(f *testing.F) {
	f.Add(fixture(f, "etcd.yaml"), "name", "a: b", true)
	f.Add(fixture(f, "kube-apiserver.yaml"), "etcd-servers", "https://h:1,https://i:2", false)
	f.Add(head+"    command: [etcd, '--x=1', --y, \"2\"]\n", "y", "it's", false)
	f.Add(head+"    command: [etcd]\n    args:\n    - --x\r\n    - |\n      two\n", "x", "\u2028", true)
	f.Fuzz(func(t *testing.T, text, name, value string, remove bool) {
		if strings.HasPrefix(name, "-") || strings.Contains(name, "=") {
			return
		}
		flag := &value
		if remove {
			flag = nil
		}
		edit := Edit{Flags: map[string]*string{name: flag}}
		if remove && value != "" && value != name && !strings.ContainsAny(value, "=\r\n") && !strings.HasPrefix(value, "-") {
			edit = Edit{Renames: map[string]string{name: value}}
		}
		out, differences, err := edit.Apply([]byte(text))
		if err != nil {
			return
		}
		again, more, err := edit.Apply(out)
		if err != nil || len(more) > 0 || string(again) != string(out) {
			if remove && err != nil {
				return // it was the only word, and there is no place for flags any more
			}
			t.Errorf("%q became %q (%v), then %q (%v): %v", text, out, differences, again, more, err)
		}
	})
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func edits(t *testing.T, old, want string, e Edit) {
	t.Helper()
	got, _, err := e.Apply([]byte(old))
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// warnExposed tells of the files that root is about to follow and that somebody
// else could have written, or could write before it is done. Each place at which
// they could is told once.
func (a *app) warnExposed(files []string) {
	told := map[string]bool{}
	for _, file := range files {
		if e := exposed(file); e != nil && !told[e.Path] {
			told[e.Path] = true
			a.view.Note("Warning: somebody else could change what root is to carry out. %s: %s.", file, whose(e))
		}
	}
}

// exposed is where somebody else than root, and than whoever became root
// through sudo, could change a file; nil where nobody could, and for who isn't
// root and has only their own to lose.
func exposed(file string) *durable.Exposure {
	if os.Geteuid() != 0 {
		return nil
	}
	var also []int
	if uid, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil {
		also = append(also, uid)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil
	}
	e, err := durable.Exposed(abs, also...)
	if err != nil {
		return nil // it was read a moment ago; who can take it away can be seen, too
	}
	return e
}

func whose(e *durable.Exposure) string {
	return fmt.Sprintf("%s belongs to %s and has mode %04o", e.Path, userName(e.UID), e.Mode)
}

func userName(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return fmt.Sprintf("user %d", uid)
	}
	return u.Username
}

// filesOf lists the files of a runbook; none of one that comes with the binary.
func filesOf(src *lang.Sources) []string {
	if src.Path() == "" {
		return nil
	}
	files := []string{src.Path()}
	for _, s := range src.All()[1:] {
		name := s.Name
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(src.Path()), name)
		}
		files = append(files, name)
	}
	return files
}

// keptPlan is a plan as it was read from a file.
type keptPlan struct {
	file, sum string
	text      []byte
	info      fs.FileInfo
}

// readPlan reads the file and reports whether it is a plan.
func readPlan(file string) (*keptPlan, bool) {
	// Opening a pipe would wait for its other end.
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	text, err := lang.ReadAtMost(f, file, run.MostPlan)
	if err != nil || !run.IsPlanFile(string(text)) {
		return nil, false
	}
	return &keptPlan{file: file, sum: digest(text), text: text, info: info}, true
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// verify refuses a plan that isn't the one that was meant.
func (n named) verify(file, sum string) error {
	if n.plan != nil {
		return n.plan.verify(sum)
	}
	if sum != "" {
		return engine.Errorf(file, "--sha256 is given, and this is a runbook and no plan").
			WithHint("Keep a plan of it with `runbook plan --out`, which tells the plan's SHA-256")
	}
	return nil
}

// verify refuses a plan that is not the one that want, a SHA-256, names. Without
// one, it refuses to have root carry out what somebody else could have written.
func (k *keptPlan) verify(want string) error {
	if want != "" {
		if got := strings.ToLower(strings.TrimPrefix(want, "sha256:")); got != k.sum {
			return engine.Errorf(k.file, "its SHA-256 is %s, and --sha256 names %s", k.sum, got).
				WithHint("Nothing was changed. It is another plan than the one that was meant, or somebody has changed it")
		}
		return nil
	}
	e := exposed(k.file)
	if e == nil {
		return nil
	}
	return engine.Errorf(k.file, "root doesn't carry out a plan that somebody else could have written: %s", whose(e)).
		WithHint("`runbook plan --out` told the plan's SHA-256. Take it from whoever made the plan, and give it with --sha256; this file's is %s", k.sum)
}

// origin says whose the plan is and where it comes from.
func (k *keptPlan) origin(h run.Header) string {
	owner := "somebody"
	if st, ok := k.info.Sys().(*syscall.Stat_t); ok {
		owner = userName(int(st.Uid))
	}
	from := h.File
	if from == "" {
		from = "the runbook " + h.Plan.Runbook + " that comes with the binary"
	}
	return fmt.Sprintf("Plan %s: sha256:%s\nIt belongs to %s and has mode %04o. It was made on %s at %s by runbook %s, of %s.",
		k.file, k.sum, owner, k.info.Mode().Perm(), h.Host, h.Run.Started.UTC().Format("2006-01-02 15:04:05 UTC"), h.Version, from)
}

package security

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// exchangeEnv makes a process of this binary mallory, who exchanges two names
// until the end: SEED:PATH:PATH.
const exchangeEnv = "RUNBOOK_TEST_EXCHANGE"

// exchange never returns. Between two exchanges there is as much time as some
// steps need, or hardly any.
func exchange(args []string) {
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil || len(args) != 3 {
		panic("usage: SEED:PATH:PATH")
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for {
		if err := exchangeNames(args[1], args[2]); err != nil {
			panic(err)
		}
		if rng.IntN(2) == 0 {
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		}
	}
}

// raced are steps whose every path leads through what mallory exchanges.
const raced = `
locals { all = toset([for i in range(12) : tostring(i)]) }
step "write_file" "write" {
  for_each   = local.all
  on_failure = "continue"
  path       = "DIR/u/d/w${each.key}"
  mode       = "0600"
  content    = "for-root-alone"
}
step "make_directory" "make" {
  for_each   = local.all
  on_failure = "continue"
  path       = "DIR/u/d/m${each.key}/a"
  parents    = true
  owner      = "4711:4711"
}
step "chown" "own" {
  for_each   = local.all
  on_failure = "continue"
  path       = "DIR/u/d/t${each.key}"
  owner      = "4711:4711"
  recursive  = true
}
step "copy" "out" {
  for_each   = local.all
  on_failure = "continue"
  from       = "DIR/u/d/t${each.key}"
  to         = "DIR/out/t${each.key}"
}
step "copy" "in" {
  for_each   = local.all
  on_failure = "continue"
  from       = "DIR/src/tree"
  to         = "DIR/u/d/c${each.key}"
}
step "archive" "pack" {
  for_each   = local.all
  on_failure = "continue"
  path       = "DIR/out/${each.key}.tgz"
  sources    = ["DIR/u/d/t${each.key}"]
}
step "move" "move" {
  for_each   = local.all
  on_failure = "continue"
  from       = "DIR/u/d/a${each.key}"
  to         = "DIR/u/d/b${each.key}"
}
step "remove" "remove" {
  for_each   = local.all
  on_failure = "continue"
  path       = "DIR/u/d/r${each.key}"
}
`

// While a run works, somebody without privileges exchanges a directory on its
// way for a link to where they may not go, as fast as they can.
func TestNobodyWinsARace(t *testing.T) {
	rounds := 2
	if tally.Full() {
		rounds = 40
	}
	rng := tally.Chance(t)
	s := newScene(t)
	s.write(raced)
	for range rounds {
		g := s.newGround()
		for _, dir := range []string{"u/d", "victim"} {
			sh(t, "cd "+g.path(dir)+" && for i in $(seq 0 11); do cp -a tree t$i; cp -a a a$i; cp -a a r$i; done")
		}
		g.untouched = g.victim()
		plan := g.path("out/plan")
		g.runbook(program.Done, "plan", g.book, "--out", plan)
		stop := g.race(rng.Uint64())
		e := g.try("run", plan, "--yes")
		stop()
		if !strings.Contains(e.Stdout, "Finished") {
			t.Errorf("the run did not come to its end: %s", e)
		}
		g.check("after a race", attack{})
		stop = g.race(rng.Uint64())
		g.try("rollback", "--yes")
		stop()
		g.check("after a race with the rollback", attack{})
	}
	tally.Count(t, "steps that raced with the owner of a directory", rounds*8*12)
}

// race has mallory exchange u/d and u/l, and returns what ends that.
func (g *ground) race(seed uint64) (stop func()) {
	g.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{fmt.Sprintf("%s=%d:%s:%s", exchangeEnv, seed, g.path("u/d"), g.path("u/l"))}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: mallory, Gid: mallory}, Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stderr = &said
	must(g.T, cmd.Start())
	link := func() bool { to, err := os.Readlink(g.path("u/d")); return err == nil && to == g.path("victim") }
	await(g.T, "mallory has begun", link)
	return func() {
		must(g.T, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		if said.Len() > 0 {
			g.Errorf("mallory had to give up: %s", said.String())
		}
		if link() {
			must(g.T, exchangeNames(g.path("u/d"), g.path("u/l")))
		}
	}
}

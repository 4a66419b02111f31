// Command vulncheck looks for known vulnerabilities in what the product is built
// from, with govulncheck. Where the database of these can't be reached, it says
// that it has not looked, and that is no failure.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"runbook/test/binaries"
)

const (
	// database is where the Go project publishes what is known. GOVULNDB names
	// another one.
	database = "https://vuln.go.dev"
	// patience is how long the database may take to answer, and allow how long
	// all may take.
	patience = 5 * time.Second
	allow    = 10 * time.Minute
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), allow)
	defer cancel()
	db := database
	if other := os.Getenv("GOVULNDB"); other != "" {
		db = other
	}
	if err := reachable(ctx, db); err != nil {
		notRun(db, err)
		return
	}
	program, err := binaries.Path(ctx, "govulncheck")
	if err != nil {
		notRun(db, err)
		return
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-db", db}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = os.Stdout, os.Stderr, time.Second
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "govulncheck:", errors.Join(err, ctx.Err()))
		os.Exit(1)
	}
}

func notRun(db string, err error) {
	why, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Printf("govulncheck: NOT RUN, so nothing is known of vulnerabilities (%s: %s)\n", db, why)
}

// reachable asks the database when it was last changed. One in a directory is
// always there.
func reachable(ctx context.Context, db string) error {
	if strings.HasPrefix(db, "file:") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(db, "/")+"/index/db.json", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answered with %s", resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

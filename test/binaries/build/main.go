// Command build builds the programs whose names it is given. "lab" stands for
// all that the lab needs.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"runbook/test/binaries"
)

func main() {
	names := os.Args[1:]
	if i := slices.Index(names, "lab"); i >= 0 {
		names = slices.Replace(names, i, i+1, binaries.Lab()...)
	}
	for _, name := range names {
		if _, err := binaries.Path(context.Background(), name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

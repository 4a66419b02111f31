// Command build builds the programs whose names it is given into .cache/bin.
package main

import (
	"context"
	"fmt"
	"os"

	"runbook/test/binaries"
)

func main() {
	for _, name := range os.Args[1:] {
		if _, err := binaries.Path(context.Background(), name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

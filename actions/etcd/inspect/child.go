package inspect

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"runbook/actions/etcd/child"
	"runbook/actions/etcd/keyspace"
)

// ChildMain does the child's work where args, the process's arguments without
// its name, ask for it, and reports whether they did. A binary that uses this
// package calls it first thing in main and exits if it returns true.
func ChildMain(args []string) bool {
	if len(args) < 3 || args[0] != childArgument {
		return false
	}
	child.EndWithParent()
	if err := carryOut(args[1], args[2], args[3:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "panic: %v\n", err)
		os.Exit(1)
	}
	return true
}

func carryOut(task, path string, more []string, stdout io.Writer) error {
	if err := limitMemory(path); err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	enc := json.NewEncoder(out)
	var err error
	switch {
	case task == taskCheck:
		err = checkTask(path, enc, out.Flush)
	case task == taskSum:
		err = answer(enc, Info{}, sumFile(path))
	case task == taskTip:
		info, tipErr := tip(path)
		err = answer(enc, info, tipErr)
	case task == taskKeys:
		err = keysTask(path, enc)
	case task == taskInventory && len(more) == 1:
		err = inventoryTask(path, more[0], enc)
	case task == taskCompare && len(more) == 2:
		info, compareErr := compare(path, more[0], more[1])
		err = answer(enc, info, compareErr)
	default:
		err = fmt.Errorf("unknown task %q", task)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// progressStep is after how many bytes the child says how far it is.
const progressStep = 32 << 20

func checkTask(path string, enc *json.Encoder, flush func() error) error {
	told := int64(0)
	var tellErr error
	info, err := describe(path, func(done int64) {
		if done-told >= progressStep && tellErr == nil {
			told = done
			tellErr = errors.Join(enc.Encode(reply{Done: done}), flush())
		}
	})
	return errors.Join(tellErr, answer(enc, info, err))
}

// answer tells a task's result.
func answer(enc *json.Encoder, info Info, err error) error {
	var damaged *Damaged
	if errors.As(err, &damaged) {
		return enc.Encode(reply{Damage: damaged.Reason})
	}
	if err != nil {
		return err
	}
	return enc.Encode(reply{Info: info})
}

func keysTask(path string, enc *json.Encoder) error {
	err := listKeys(path, func(r keyspace.Record) error {
		return enc.Encode(keyLine{Record: r})
	})
	var damaged *Damaged
	if errors.As(err, &damaged) {
		return enc.Encode(keyLine{Damage: damaged.Reason})
	}
	if err != nil {
		return err
	}
	return enc.Encode(keyLine{End: true})
}

// limitMemory bounds what a damaged file can make the child allocate.
func limitMemory(path string) error {
	limit := uint64(1 << 30)
	if st, err := os.Stat(path); err == nil {
		limit += uint64(st.Size())
	}
	// What is held is held to the end, so collecting early costs little.
	debug.SetGCPercent(30)
	return child.Limit(limit, 0)
}

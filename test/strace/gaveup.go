package strace

import "regexp"

// strace now and then loses hold of a thread on a busy machine, says so and ends
// with code 1. That tells nothing of the process that it has traced.
var lostHold = regexp.MustCompile(`(?m)^(?:\S*/)?strace: ptrace\(PTRACE_\w+.*\): Input/output error$`)

// GaveUp is what strace says, in the output of a process under it, where it has
// given up by itself; empty where it hasn't.
func GaveUp(output string) string { return lostHold.FindString(output) }

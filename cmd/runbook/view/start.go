package view

// Start says what to type first. open is a run that has not ended; it is
// empty where there is none.
func (h *Human) Start(open string) {
	if open != "" {
		h.line("%s has not ended:\n", h.bold.Sprintf("Run %s", open))
		h.rows([]namedValue{
			{"runbook resume", "go on with it"},
			{"runbook rollback", "put back what it has changed"},
			{"runbook show", "what it has done so far"},
		})
		h.line("")
	}
	h.line("%s\n", h.wrap("Is etcd down? Type this. It finds everything out by itself, and asks before it changes anything:", ""))
	h.line("  %s\n", h.bold.Sprint("runbook run etcd-recover.hcl"))
	h.line("And then:\n")
	h.rows([]namedValue{
		{"runbook plan etcd-recover.hcl", "only look: what is wrong, what it would do"},
		{"runbook resume", "go on with a run that was stopped or killed"},
		{"runbook rollback", "put back what a run has changed"},
		{"runbook list", "what was run here, and how it ended"},
		{"runbook runbooks", "the other runbooks that come with it"},
	})
	h.line("\n%s", h.wrap("`runbook --help` lists all commands, `runbook man | man -l -` is the manual. A page to follow is docs/operations.md, where runbook comes from.", ""))
}

package lang

import (
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Block describes a block of the language, as engine.Spec describes an action.
type Block struct {
	Name       string // its type
	Header     string // how it begins
	Within     string // the block that it stands in; empty at the top of a file
	Doc        string // one paragraph; the first sentence is the summary
	Attributes []engine.Attribute
	Example    string // validates; in a file that has what it refers to
}

// Blocks are the blocks of the language, in the order in which one meets them.
func Blocks() []Block { return blocks }

var blocks = []Block{
	{
		Name: "runbook", Header: `runbook "NAME"`,
		Doc: "Names the runbook; every file begins with one. The name stands in plans, lists and reports.",
		Attributes: []engine.Attribute{
			{Name: "description", Type: cty.String, Doc: "What the procedure is for, in a sentence."},
			{Name: "time_budget", Type: cty.String, Doc: `How long the whole may take, such as "50m".`},
			{Name: "on_failure", Type: cty.String, Default: cty.StringVal(Stop), Doc: `What happens when a step fails: "stop", so that the run can be resumed, "rollback" or "continue" with the next step.`},
			{Name: "restartable", Type: cty.Bool, Default: cty.False, Doc: "Whether a run that was cut short may simply be begun anew, as a backup may. Such a run stands in nobody's way: the next run, of whatever runbook, gives it up. Until then it can be resumed or rolled back like any other."},
			{Name: "drill", Type: cty.Bool, Default: cty.False, Doc: "Whether the runbook does damage on purpose, to rehearse a recovery. Such a runbook may have fault actions, and is only run with --drill HOSTNAME."},
		},
		Example: `runbook "etcd-restore" {
  description = "Rebuild a single-member etcd from its newest snapshot."
  time_budget = "50m"
}`,
	},
	{
		Name: "goal", Header: "goal", Within: "runbook",
		Doc: "Says when there is nothing to do. It is looked at before the first step; where it holds, the plan is empty, however the single steps stand.",
		Attributes: []engine.Attribute{
			{Name: "condition", Type: cty.Bool, Required: true, Doc: "What holds where the runbook's work is done already."},
			{Name: "message", Type: cty.String, Required: true, Doc: "What is said then."},
		},
		Example: `runbook "start-etcd" {
  goal {
    condition = unit("etcd.service").active
    message   = "etcd is running."
  }
}`,
	},
	{
		Name: "precondition", Header: "precondition", Within: "runbook",
		Doc: "Has to hold before the runbook's first step, for the runbook as a whole. Where it is known not to hold, the run doesn't begin. A runbook may have several.",
		Attributes: []engine.Attribute{
			{Name: "condition", Type: cty.Bool, Required: true, Doc: "What has to hold."},
			{Name: "error_message", Type: cty.String, Required: true, Doc: "What is said where it doesn't: why, and what to do."},
		},
		Example: `runbook "start-etcd" {
  precondition {
    condition     = unit("etcd.service").loaded
    error_message = "There is no unit etcd.service on this host."
  }
}`,
	},
	{
		Name: "summary", Header: "summary", Within: "runbook",
		Doc: "Says in a few lines what was found and what the run would do about it. The plan begins with them, and shows data sources with -v alone then; they stand right above the question, too. The lines are evaluated once, at the end of planning. What isn't known by then, or is null, is left out. A runbook that is a step of another has its summary left out.",
		Attributes: []engine.Attribute{
			{Name: "lines", Type: cty.List(cty.String), Required: true, Doc: "The lines, each a text or a list of texts."},
		},
		Example: `runbook "start-etcd" {
  summary {
    lines = [
      unit("etcd.service").active ? null : "etcd.service is stopped, and is started.",
      "Nothing is lost.",
    ]
  }
}`,
	},
	{
		Name: "variable", Header: `variable "NAME"`,
		Doc: "Declares a value that the operator sets with --var NAME=VALUE. It is referred to as var.NAME.",
		Attributes: []engine.Attribute{
			{Name: "type", Type: cty.DynamicPseudoType, Doc: "A type such as string, number, bool, list(string) or object({ … }). Any, where there is none."},
			{Name: "default", Type: cty.DynamicPseudoType, Doc: "The value where the operator sets none; without a default, one has to be set."},
			{Name: "description", Type: cty.String, Doc: "What it is, in a sentence."},
			{Name: "sensitive", Type: cty.Bool, Default: cty.False, Doc: "Whether the value is a secret: it reaches neither the screen nor the journal, and has no default."},
		},
		Example: `variable "backup_dir" {
  description = "Directory that holds the snapshots."
  type        = string
  default     = "/var/backups/etcd"
}`,
	},
	{
		Name: "validation", Header: "validation", Within: "variable",
		Doc: "Has to hold for a value that the operator gives. The condition refers to the value as self, and to nothing else. A variable may have several.",
		Attributes: []engine.Attribute{
			{Name: "condition", Type: cty.Bool, Required: true, Doc: "What has to hold."},
			{Name: "error_message", Type: cty.String, Required: true, Doc: "What is said where it does not hold."},
		},
		Example: `variable "attempts" {
  type = number

  validation {
    condition     = self > 0
    error_message = "There is at least one attempt."
  }
}`,
	},
	{
		Name: "locals", Header: "locals",
		Doc: "Gives names to expressions. Each attribute is one, under a name of your choice, and is referred to as local.NAME.",
		Example: `locals {
  stamp = formatdate("YYYYMMDD-hhmmss", run.started)
  name  = "backup-${local.stamp}.db"
}`,
	},
	{
		Name: "data", Header: `data "SOURCE" "NAME"`,
		Doc: "Reads facts of the host through a data source. It is read once, before the first step, and kept in the run's journal. The results are referred to as data.SOURCE.NAME. The attributes are those of the data source.",
		Example: `data "etcd_snapshot" "latest" {
  directory = "/var/backups/etcd"
}`,
	},
	{
		Name: "step", Header: `step "ACTION" "NAME"`,
		Doc: "Does one thing. Steps run from top to bottom, and each is checkpointed. The results of a finished step are referred to as step.NAME. Beside these attributes it has those of its action.",
		Attributes: []engine.Attribute{
			{Name: "description", Type: cty.String, Doc: "What the step does and why, in a sentence, for whoever reads the plan at night."},
			{Name: "timeout", Type: cty.String, Doc: `How long the step may take, all attempts together, such as "10m". Without it there is no bound.`},
			{Name: "when", Type: cty.Bool, Default: cty.True, Doc: "Whether the step is carried out at all; it may depend on the results of earlier steps."},
			{Name: "for_each", Type: cty.DynamicPseudoType, Doc: "A map, or a set of texts: the step is carried out once for each element, which it refers to as each.key and each.value. It is known before the run begins. The results are referred to as step.NAME[KEY]."},
			{Name: "on_failure", Type: cty.String, Doc: `What happens when the step fails: "stop", "rollback" or "continue"; as the runbook says, where it isn't set.`},
		},
		Example: `step "move" "set_aside" {
  description = "Move the damaged data out of the way."
  timeout     = "1m"
  from        = "/var/lib/etcd"
  to          = "/var/lib/etcd.damaged"
}`,
	},
	{
		Name: "runbook", Header: `step "runbook" "NAME"`, Within: "step",
		Doc: "As the action of a step: carries out another runbook. Its steps become steps of this run, and its outputs are referred to as step.NAME. Such a step has description, when, for_each and on_failure, and no blocks. With on_failure = \"continue\" it fails as a whole: when one of its steps fails, the rest of it is passed over, and its result is null.",
		Attributes: []engine.Attribute{
			{Name: "source", Type: cty.String, Required: true, Doc: "The other runbook's file, relative to the directory of the file that names it. Where there is none, one of that name that comes with runbook."},
			{Name: "variables", Type: cty.DynamicPseudoType, Doc: "The other runbook's variables, as an object."},
			{Name: "late", Type: cty.Bool, Default: cty.False, Doc: "Whether its data sources are read when the step begins, instead of when the run does: for a runbook that looks at what earlier steps have done. What depends on them can't be planned before."},
		},
		Example: `step "runbook" "back_up_first" {
  source    = "etcd-backup.hcl"
  variables = { backup_dir = "/var/backups/etcd" }
}`,
	},
	{
		Name: "precondition", Header: "precondition", Within: "step",
		Doc: "Has to hold before its step. It is looked at while planning, and again just before the step; where it does not hold, nothing of the step is done. A step may have several.",
		Attributes: []engine.Attribute{
			{Name: "condition", Type: cty.Bool, Required: true, Doc: "What has to hold."},
			{Name: "error_message", Type: cty.String, Required: true, Doc: "What is said where it does not hold: what is wrong, and what to do."},
		},
		Example: `step "move" "set_aside" {
  from = "/var/lib/etcd"
  to   = "/var/lib/etcd.damaged"

  precondition {
    condition     = !unit("etcd.service").active
    error_message = "etcd is running: stop it first."
  }
}`,
	},
	{
		Name: "postcondition", Header: "postcondition", Within: "step",
		Doc: "Has to hold after its step, or else the step has failed. It may refer to the step's results as self. A step may have several.",
		Attributes: []engine.Attribute{
			{Name: "condition", Type: cty.Bool, Required: true, Doc: "What has to hold."},
			{Name: "error_message", Type: cty.String, Required: true, Doc: "What is said where it does not hold: what is wrong, and what to do."},
		},
		Example: `step "move" "set_aside" {
  from = "/var/lib/etcd"
  to   = "/var/lib/etcd.damaged"

  postcondition {
    condition     = path(self.path).type == "directory"
    error_message = "${self.path} is no directory."
  }
}`,
	},
	{
		Name: "retry", Header: "retry", Within: "step",
		Doc: "Tries a failed step again. Before each attempt the step looks how far the one before has got. A step that has seen what it waits for fail for good isn't tried again.",
		Attributes: []engine.Attribute{
			{Name: "attempts", Type: cty.Number, Required: true, Doc: "How often it is tried in all, the first time included."},
			{Name: "delay", Type: cty.String, Default: cty.StringVal("1s"), Doc: "How long to wait before the second attempt."},
			{Name: "backoff", Type: cty.Number, Default: cty.NumberIntVal(1), Doc: "What the delay is multiplied by after each attempt."},
			{Name: "max_delay", Type: cty.String, Doc: "The longest that the delay becomes."},
		},
		Example: `step "etcd_health" "healthy" {
  endpoints = ["https://127.0.0.1:2379"]

  retry {
    attempts  = 60
    delay     = "1s"
    backoff   = 1.5
    max_delay = "10s"
  }
}`,
	},
	{
		Name: "approve", Header: "approve", Within: "step",
		Doc: "Asks somebody to agree before the step changes anything. Without a terminal the run stops there; `runbook approve RUN STEP` agrees and `runbook resume` goes on. Who agreed is kept in the journal.",
		Attributes: []engine.Attribute{
			{Name: "message", Type: cty.String, Required: true, Doc: "What is asked."},
		},
		Example: `step "systemd_unit" "start_etcd" {
  unit  = "etcd.service"
  state = "started"

  approve {
    message = "Start etcd on the restored data?"
  }
}`,
	},
	{
		Name: "rollback", Header: `rollback "ACTION"`, Within: "step",
		Doc: `Replaces what a rollback does for its step, which otherwise puts back what the step's action has recorded. It has the attributes of ACTION and may refer to the step's results as self. The action "none" says that there is nothing to undo.`,
		Attributes: []engine.Attribute{
			{Name: "reason", Type: cty.String, Doc: `Why there is nothing to undo; for rollback "none" alone, and required there.`},
		},
		Example: `step "systemd_unit" "stop_etcd" {
  unit  = "etcd.service"
  state = "stopped"

  rollback "none" {
    reason = "etcd was failing before; the step that starts it decides."
  }
}`,
	},
	{
		Name: "output", Header: `output "NAME"`,
		Doc: "Hands out a value when the run is finished: it is shown, kept in the journal, and read by a runbook that has this one as a step.",
		Attributes: []engine.Attribute{
			{Name: "value", Type: cty.DynamicPseudoType, Required: true, Doc: "The value."},
			{Name: "description", Type: cty.String, Doc: "What it is, in a sentence."},
			{Name: "sensitive", Type: cty.Bool, Default: cty.False, Doc: "Whether the value is a secret, and not shown."},
		},
		Example: `output "finished_run" {
  description = "The run that did it."
  value       = run.id
}`,
	},
}

package causes

import (
	"fmt"
	"strings"

	"runbook/actions/etcd/diagnose"
)

type finding = diagnose.Finding

type remedy = diagnose.Remedy

// The classes of what is found around etcd.
const (
	classDiskFull      = "disk_full"
	classQuotaReached  = "quota_reached"
	classClockWrong    = "clock_wrong"
	classNameUnknown   = "name_unresolved"
	classRuntimeMasked = "runtime_masked"
	classRuntimeDown   = "runtime_stopped"
	classRuntimeFails  = "runtime_failing"
	classRuntimeSocket = "runtime_socket_gone"
	classKubeletGone   = "kubelet_missing"
	classKubeletMasked = "kubelet_masked"
	classKubeletDown   = "kubelet_stopped"
	classKubeletFails  = "kubelet_failing"
	classKubeletOff    = "kubelet_disabled"
	classStaticPodPath = "static_pod_path"
	classNoManifest    = "manifest_missing"
	classBadManifest   = "manifest_invalid"
	classUnitMasked    = "unit_masked"
	classUnitDown      = "unit_stopped"
	classUnitFails     = "unit_failing"
	classUnitOff       = "unit_disabled"
	classUnitGone      = "unit_missing"
	classNoProgram     = "program_missing"
	classNoEnvironment = "env_file_missing"
	classUnknownFlag   = "unknown_flag"
	classFlagRefused   = "flag_refused"
	classElsewhere     = "manifest_elsewhere"
	classAPIElsewhere  = "apiserver_elsewhere"
	classAddressGone   = "address_gone"
	classPKILost       = "pki_lost"
	classExpired       = "certificate_expired"
	classNotYetValid   = "certificate_not_yet_valid"
	classOtherCA       = "certificate_other_ca"
	classOtherName     = "certificate_name"
	classUnreadable    = "certificate_unreadable"
	classOtherKey      = "certificate_key"
	classPortTaken     = "port_taken"
	classImageMissing  = "image_missing"
	classOutOfMemory   = "out_of_memory"
	classLowLimit      = "limit_low"
	classEtcdFails     = "etcd_failing"
	classUnserved      = "apiserver_unserved"
)

// cause is something that has to be mended before anything else helps.
func cause(class, severity, path, sentence, advice string, r remedy) finding {
	return finding{Class: class, Severity: severity, Path: path, Offset: -1, Needs: diagnose.Mend, Finding: sentence, Advice: advice, Remedy: r}
}

// mistake is something wrong that keeps no cure from being taken.
func mistake(class, path, needs, sentence, advice, command string) finding {
	return finding{Class: class, Severity: diagnose.Mistake, Path: path, Offset: -1, Needs: needs, Finding: sentence, Advice: advice, Remedy: remedy{Command: command}}
}

// note is something worth knowing.
func note(class, path, sentence, advice, command string) finding {
	return finding{Class: class, Severity: diagnose.Note, Path: path, Offset: -1, Finding: sentence, Advice: advice, Remedy: remedy{Command: command}}
}

// saying puts what somebody said behind a sentence; nothing where nobody did.
func saying(who, line string) string {
	if line == "" {
		return ""
	}
	return fmt.Sprintf(" %s said %q.", who, shortened(line))
}

// longest is how much of a line is told.
const longest = 300

func shortened(line string) string {
	line = strings.ToValidUTF8(strings.TrimSpace(diagnose.Words(line)), "?")
	if len(line) <= longest {
		return line
	}
	return strings.ToValidUTF8(line[:longest], "") + "…"
}

// Package disaster breaks a host in ways that are known beforehand, has it
// brought back the way somebody at a terminal would, and tells from a ledger of
// what was written what that has cost.
package disaster

import "regexp"

// A Disaster is a way to break a host, and what a good recovery comes to.
type Disaster struct {
	Name string
	// Setup, a shell script, makes the host one that can break in this way. It is
	// run before anything is written.
	Setup string
	// Break, a shell script, breaks the host. It ends when the damage shows, and so
	// waits for that where it takes a while.
	Break string
	// Finds are the classes that a diagnosis has to name.
	Finds []string
	// Cures are the cures that are right, mostly one.
	Cures []string
	// Loses is what is lost with the best cure that there is.
	Loses Loss
	// Blocked is there where the recovery can't go on by itself.
	Blocked *Blocked
	// Mend, a shell script, takes away afterwards what a recovery rightly leaves.
	Mend string
	// Spoils is set where the host is of no use afterwards, even if it is well.
	Spoils bool
	// Quick disasters are the selection that is tried each time.
	Quick bool
}

// Blocked is what has to be done by hand.
type Blocked struct {
	// Says is what the screen has to say then. Its first group, if it has one, is
	// the command to type.
	Says *regexp.Regexp
	// Type is what is typed where the screen can't know it to the letter.
	Type string
}

// Loss is what a recovery loses of what was acknowledged.
type Loss string

const (
	Nothing     Loss = "nothing"
	SinceBackup Loss = "since the backup"
)

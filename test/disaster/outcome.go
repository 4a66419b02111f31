package disaster

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An Outcome is what a disaster has come to.
type Outcome struct {
	Disaster *Disaster
	Classes  []string       // that the diagnosis named
	Plans    map[int]string // by the terminal's width
	Session  Session
	Told     bool          // what to do by hand, by a recovery that was blocked
	Took     time.Duration // from the first command until the site was seen to serve
	Lost     []Entry
	Twice    []string // revisions served with other contents than before
	Failure  error    // why none of this could be seen

	ledger  *Ledger
	history *History
}

// proves sees for itself that the site serves, and what it still has. What the
// recovery has left to be done by itself, such as a node that reports in, isn't
// part of its time.
func (o *Outcome) proves(ctx context.Context, s *Stage) {
	patience := toServe
	if o.Session.Code != 0 {
		patience = toServeAnyway
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begun := time.Now()
	o.Failure = s.Serves(ctx)
	o.Took = o.Session.Took + time.Since(begun)
	if o.Failure == nil {
		o.Failure = o.compares(ctx, s)
	}
}

func (o *Outcome) compares(ctx context.Context, s *Stage) error {
	c, err := s.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // what it writes is acknowledged
	if o.Lost, err = o.ledger.Lost(ctx, c); err != nil {
		return err
	}
	if o.Twice, err = o.history.Contradictions(ctx, c); err != nil {
		return err
	}
	if err := s.Whole(ctx, o.ledger, c); err != nil {
		return err
	}
	return s.sh(ctx, o.Disaster.Mend)
}

var (
	cure    = regexp.MustCompile(`(?m)^\s*cure\s*=\s*(\S+)`)
	nothing = regexp.MustCompile(`(?m)^Nothing to do`)
)

// Cure is the cure that the screen says was taken.
func (o *Outcome) Cure() string {
	if m := cure.FindAllStringSubmatch(o.Session.Screen, -1); m != nil {
		return m[len(m)-1][1]
	}
	if nothing.MatchString(o.Session.Screen) {
		return "none"
	}
	return "unknown"
}

// LostWhat says in words what was lost.
func (o *Outcome) LostWhat() string {
	old := slices.ContainsFunc(o.Lost, func(e Entry) bool { return !e.Since })
	switch {
	case o.Failure != nil:
		return "unknown"
	case len(o.Lost) == 0:
		return string(Nothing)
	case old:
		return fmt.Sprintf("%d of %d keys, also from before the backup", len(o.Lost), o.ledger.Len())
	}
	return fmt.Sprintf("%s: %d of %d keys", SinceBackup, len(o.Lost), o.ledger.Len())
}

// mostAnswers is how many questions a recovery may ask.
const mostAnswers = 2

// Complaints says what a recovery should have done better, a sentence each.
func (o *Outcome) Complaints() []string {
	var all []string
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	d := o.Disaster
	if o.Session.Code != 0 {
		complain("the last command, %q, ended with exit code %d", o.Session.Commands[len(o.Session.Commands)-1], o.Session.Code)
	}
	if d.Blocked != nil && !o.Told {
		complain("the screen doesn't say what to do by hand: %q", d.Blocked.Says)
	}
	if got := o.Cure(); !slices.Contains(d.Cures, got) {
		complain("the cure was %q, and should be %s", got, strings.Join(d.Cures, " or "))
	}
	for _, class := range d.Finds {
		if !slices.Contains(o.Classes, class) {
			complain("the diagnosis doesn't find %s, but %s", class, strings.Join(o.Classes, ", "))
		}
	}
	if o.Session.Answers > mostAnswers {
		complain("%d answers were asked for", o.Session.Answers)
	}
	return append(all, o.losses()...)
}

func (o *Outcome) losses() []string {
	if o.Failure != nil {
		return []string{fmt.Sprintf("the site doesn't serve: %v", o.Failure)}
	}
	all := slices.Clone(o.Twice)
	for _, e := range o.Lost {
		if !e.Since || o.Disaster.Loses == Nothing {
			all = append(all, fmt.Sprintf("lost, in the worst case %s: %s, acknowledged at revision %d", o.Disaster.Loses, e.Key, e.Revision))
		}
	}
	const most = 8
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("and %d more of these", len(all)-most))
	}
	return all
}

// Package diagnose finds out what is wrong with an etcd data directory and
// what the gentlest cure is. It reads bytes and changes nothing: no file, no
// time stamp, no lock. It needs no running etcd and leaves one in peace.
package diagnose

import "slices"

// Options say where to look and what to expect.
type Options struct {
	DataDir string
	WALDir  string // empty: in the data directory
	// Version is etcd's version that is to run on the directory; empty if it
	// isn't known.
	Version string
	// Name and PeerURLs are the member's as it is configured; empty if that
	// isn't known.
	Name     string
	PeerURLs []string
	// Named are other data directories that etcd is, or once was, started with,
	// and Roots are where data that was moved is looked for.
	Named, Roots []string
	// CAFile is the CA of the members' certificates; empty if there is none.
	CAFile string
	// UID, GID and Mode are what the directory should have; -1 if unknown.
	UID, GID int
	// ClusterID, in hexadecimal, and Keys are what the operator knows.
	ClusterID string
	Keys      int64
	// Manifest is the static pod's manifest, Unit the systemd unit that starts
	// etcd and Config its own configuration file; empty if there is none.
	Manifest, Unit, Config string
	Backups                []string // directories
	Log                    LogSource
	// MountPoint says that the data directory is one.
	MountPoint bool
	// ConfigError is what is wrong with the configuration, Unconfigured why it
	// couldn't be read.
	ConfigError  string
	Unconfigured string
	// SecondManifests are other files of the manifest's directory with an etcd.
	SecondManifests []string
	// EncryptionConfig is the path that the API server's manifest names, and
	// APIServer whether there is such a manifest.
	EncryptionConfig string
	APIServer        bool
}

// The severities of a finding.
const (
	Damage  = "damage"  // something is broken or lost
	Mistake = "mistake" // something is whole, and wrong
	Note    = "note"    // worth knowing
)

// The cures, in order of what they lose. Mend is none of the data: something
// around etcd has to be put right first, whichever cure the data then takes.
const (
	Mend    = "mend"
	Restart = "restart"
	Repair  = "repair"
	Adopt   = "adopt"
	Salvage = "salvage"
	Restore = "restore"
)

var cures = []string{Restart, Repair, Adopt, Salvage, Restore}

// Finding is one thing that is so.
type Finding struct {
	Class    string `json:"class"`
	Severity string `json:"severity"`
	Finding  string `json:"finding"` // a sentence
	Path     string `json:"path"`    // of the file; empty if it isn't about one
	// Offset is the byte in the file; -1 where there is none. Record says
	// which page, record, revision or line.
	Offset int64  `json:"offset"`
	Record string `json:"record"`
	Advice string `json:"advice"`
	// Needs is the gentlest cure that copes with it; empty if none is needed.
	Needs string `json:"needs"`
	Remedy
	// Said is what etcd said, where that is the finding.
	Said string `json:"-"`
}

// Remedy is how a finding is put right.
type Remedy struct {
	// Name is what a runbook does about it, one of the names below; empty where
	// a person has to. Command is what a person types.
	Name    string `json:"remedy"`
	Command string `json:"command"`
	// Source is the archive or the file that holds what is to be put back. From
	// and To are a flag's name as it is and as it should be.
	Source string `json:"source"`
	From   string `json:"from"`
	To     string `json:"to"`
}

// The names of remedies.
const (
	StartKubelet     = "start_kubelet"
	StartRuntime     = "start_runtime"
	StartUnit        = "start_unit"         // the finding's path is the unit
	StopUnit         = "stop_unit"          // likewise
	PutBack          = "put_back"           // path is the file, source what holds it
	RenewCertificate = "renew_certificate"  // path is the certificate or the kubeconfig
	SetAsideManifest = "set_aside_manifest" // path is the manifest
	RenameFlag       = "rename_flag"        // path is the manifest
	Own              = "own"
)

// Rung is one cure of the ladder.
type Rung struct {
	Cure     string `json:"cure"`
	Possible bool   `json:"possible"`
	Why      string `json:"why"`
	Loss     string `json:"loss"`
	// Path is the directory or file that it makes use of; empty if it isn't
	// possible.
	Path string `json:"path"`
}

// Report is all that a look at a directory tells.
type Report struct {
	Options Options
	Version string
	Member  bool // there is a directory "member"
	DB      DB
	WAL     WAL
	Snaps   Snaps
	Around  Surroundings
	Backups []Backup
	// Candidates are what is left on the host, least loss first. Cut says where
	// the search for them ended before it was through.
	Candidates  []Candidate
	Cut         string
	Findings    []Finding
	Ladder      []Rung
	Recommended string
	Advice      string
	// Served tells whether the host's API server answers that it is ready; nil
	// where there is none.
	Served *bool

	// left is what was found, that in place first, and ours are those whose
	// history is the member's own.
	left []*left
	ours map[*left]bool
	// memberDir is the directory "member" where it is called something else.
	memberDir string
}

// add adds a finding.
func (r *Report) add(f Finding) { r.Findings = append(r.Findings, f) }

// at is a finding about a file as a whole.
func (r *Report) at(class, severity, path, needs, sentence, advice string) {
	r.add(Finding{Class: class, Severity: severity, Path: path, Offset: -1, Needs: needs, Finding: sentence, Advice: advice})
}

// Has reports whether there is a finding of a class.
func (r *Report) Has(class string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Class == class })
}

// mend is a finding about what is around etcd.
func (r *Report) mend(class, severity, path, sentence, advice string, remedy Remedy) {
	r.add(Finding{Class: class, Severity: severity, Path: path, Offset: -1, Needs: Mend, Finding: sentence, Advice: advice, Remedy: remedy})
}

// Healthy reports whether nothing is broken, lost or wrong, and the API served.
func (r *Report) Healthy() bool {
	return (r.Served == nil || *r.Served) && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity != Note })
}

// needs is the gentlest cure that copes with all findings.
func (r *Report) needs() string {
	most := 0
	for _, f := range r.Findings {
		most = max(most, slices.Index(cures, f.Needs))
	}
	return cures[most]
}

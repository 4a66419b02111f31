package e2e

import (
	"path/filepath"
	"runbook/test/torture/tally"
	"testing"
)

const (
	moveData = "../../runbooks/postgresql-move-data.hcl"
	newDisk  = "/mnt/new-disk"
	newPlace = newDisk + "/accounts"
)

// postgres is a scene with a PostgreSQL cluster called accounts, which runs and
// holds some tables, and a file system to move it to.
type postgres struct {
	*scene
	version, unit, place string
}

func newPostgres(t *testing.T) *postgres {
	t.Helper()
	s := bareScene(t)
	p := &postgres{scene: s, version: s.sh("ls /usr/lib/postgresql | sort -V | tail -1")}
	p.unit = "postgresql@" + p.version + "-accounts.service"
	p.place = "/var/lib/postgresql/" + p.version + "/accounts"

	s.sh("mkdir -p " + newDisk + "; mount -t tmpfs tmpfs " + newDisk)
	s.atEnd("umount " + newDisk)
	s.sh("pg_createcluster --port 5432 " + p.version + " accounts")
	s.atEnd("systemctl stop " + p.unit + "; rm -r /etc/postgresql/" + p.version + "/accounts /var/lib/postgresql")
	s.sh("systemctl start " + p.unit)
	p.query(`CREATE TABLE payments AS SELECT n AS id, md5(n::text) AS reference FROM generate_series(1, 20000) AS n;
		CREATE UNIQUE INDEX ON payments (reference);
		CREATE TABLE owners (id int PRIMARY KEY, name text);
		INSERT INTO owners VALUES (1, 'Ada'), (2, 'Grace')`)
	return p
}

// query has the cluster carry out SQL, and returns the rows.
func (p *postgres) query(sql string) string {
	p.Helper()
	return p.sh("runuser -u postgres -- psql -p 5432 -d postgres -v ON_ERROR_STOP=1 -qAtc \"" + sql + "\"")
}

// content is a digest of all that the tables hold.
func (p *postgres) content() string {
	p.Helper()
	return p.query("SELECT md5(string_agg(t::text, ';' ORDER BY id)), count(*) FROM payments AS t; " +
		"SELECT string_agg(t::text, ';' ORDER BY id) FROM owners AS t")
}

// runsFrom wants the cluster to run, in a place and with a content.
func (p *postgres) runsFrom(place, content string) {
	p.Helper()
	if state := p.sh("systemctl show -P ActiveState " + p.unit); state != "active" {
		p.Fatalf("%s is %s", p.unit, state)
	}
	if got := p.query("SHOW data_directory"); got != place {
		p.Errorf("the cluster runs from %s, want %s", got, place)
	}
	if got := p.content(); got != content {
		p.Errorf("the tables hold\n%s\nwant\n%s", got, content)
	}
}

// A cluster is moved to another file system as the plan said, and a rollback
// brings it back.
func TestPostgresqlMoves(t *testing.T) {
	p := newPostgres(t)
	vars := []string{moveData, "--var", "version=" + p.version, "--var", "cluster=accounts", "--var", "disk=" + newDisk}
	before, plan := p.content(), filepath.Join(t.TempDir(), "plan")

	p.contains(p.runbook(0, append([]string{"plan", "--out", plan}, vars...)...), "5 steps: 4 to change the host")
	p.runsFrom(p.place, before)
	p.runbook(0, "run", plan, "--yes")
	p.samePlanAndRecord(t)
	p.runsFrom(newPlace, before)
	p.contains(p.runbook(0, append([]string{"plan"}, vars...)...), "Nothing to do", "runs on "+newPlace+" already")

	p.runbook(0, "rollback", "--yes")
	p.runsFrom(p.place, before)
	if left := p.sh("ls /etc/postgresql/" + p.version + "/accounts/conf.d " + newDisk); left != "/etc/postgresql/"+p.version+"/accounts/conf.d:\n\n"+newDisk+":" {
		t.Errorf("after the rollback there still is\n%s", left)
	}
	p.sh("test -e " + newDisk + "/.accounts.undone-*/PG_VERSION") // the copy is kept aside
	if !t.Failed() {
		tally.Count(t, "rollbacks of a shipped runbook's run to what was there before it", 1)
	}
}

package staticpod

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
)

// manifestFile is a file of a manifests directory, as kubelet would read it.
type manifestFile struct {
	path   string
	fact   engine.PathFact
	pod    manifest.Pod // no more than its name, where its content isn't known yet
	sum    string       // of its content, empty where that isn't known yet
	asItIs bool         // no earlier step will have moved or written it
	broken error        // why it can't be read as a pod
}

// find finds the pods' manifests and completes the record.
func (a *move) find(ctx context.Context, w engine.World, rec *moved) ([]manifestFile, error) {
	from, err := manifestsIn(ctx, w, rec.From)
	if err != nil {
		return nil, err
	}
	to, err := manifestsIn(ctx, w, rec.To)
	if err != nil {
		return nil, err
	}
	var found []manifestFile
	for _, name := range a.Pods {
		f, there, err := pick(name, rec, from, to)
		if err != nil {
			return nil, err
		}
		found = append(found, f)
		base := filepath.Base(f.path)
		rec.Pods = append(rec.Pods, movedPod{Name: name, File: base, There: there, SHA256: f.sum, Staging: "." + base + ".moving-" + w.Run().ID})
	}
	return found, nil
}

// pick finds the one manifest of a pod, and whether it is at its destination.
func pick(name string, rec *moved, from, to []manifestFile) (f manifestFile, there bool, err error) {
	var all []manifestFile
	for _, f := range slices.Concat(from, to) {
		if f.broken == nil && f.pod.Name == name {
			all = append(all, f)
		}
	}
	switch {
	case len(all) == 0:
		return f, false, notFound(name, rec, slices.Concat(from, to))
	case len(all) == 2 && halfMoved(all[0], all[1]):
		return all[0], false, nil
	case len(all) > 1:
		return f, false, engine.Errorf(all[1].path, "describes the pod %s, and so does %s", name, all[0].path).
			WithHint("Move the wrong one out of both directories: kubelet runs every file of its folder, whatever its name.").WithAttribute("pods")
	}
	f = all[0]
	if f.fact.Type != engine.TypeFile {
		return f, false, engine.Errorf(f.path, "is no regular file (type %s)", f.fact.Type).
			WithHint("Put the manifest itself there.").WithAttribute("pods")
	}
	there = filepath.Dir(f.path) == rec.To
	for _, other := range to {
		if !there && filepath.Base(other.path) == filepath.Base(f.path) {
			return f, false, engine.Errorf(other.path, "something else is here already").
				WithHint("Move it aside: %s has to come here.", f.path).WithAttribute("to")
		}
	}
	return f, there, nil
}

// halfMoved reports whether two files are one on its way to another file
// system: the copy is in place, and the original not removed yet.
func halfMoved(a, b manifestFile) bool {
	return filepath.Base(a.path) == filepath.Base(b.path) && filepath.Dir(a.path) != filepath.Dir(b.path) && a.sum != "" && a.sum == b.sum
}

func notFound(name string, rec *moved, all []manifestFile) error {
	var pods []string
	for _, f := range all {
		switch {
		case f.broken != nil:
			pods = append(pods, fmt.Sprintf("%s (%v)", f.path, f.broken))
		default:
			pods = append(pods, f.pod.Name)
		}
	}
	slices.Sort(pods)
	return engine.Errorf("pod "+name, "neither %s nor %s holds its manifest", rec.From, rec.To).
		WithHint("There is: %s. A pod's name is its manifest's metadata.name.", strings.Join(append(pods, "nothing else"), ", ")).
		WithAttribute("pods")
}

// manifestsIn lists the files that kubelet would read in a directory: those at
// its top whose names don't begin with a dot.
func manifestsIn(ctx context.Context, w engine.World, dir string) ([]manifestFile, error) {
	at := real(dir) // a walk doesn't follow a link at its root
	var facts []engine.PathFact
	err := w.Walk(ctx, at, func(fact engine.PathFact) error {
		top := filepath.Dir(fact.Path) == at && !strings.HasPrefix(filepath.Base(fact.Path), ".")
		if top && fact.Type != engine.TypeDirectory {
			fact.Path = filepath.Join(dir, filepath.Base(fact.Path))
			facts = append(facts, fact)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []manifestFile
	for _, fact := range facts {
		f, err := readManifest(ctx, w, fact)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func readManifest(ctx context.Context, w engine.World, fact engine.PathFact) (manifestFile, error) {
	f := manifestFile{path: fact.Path, fact: fact}
	now, err := w.Source(ctx, fact.Path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		// An earlier step will have written it. Its name has to do.
		base := filepath.Base(fact.Path)
		f.pod = manifest.Pod{Name: strings.TrimSuffix(base, filepath.Ext(base))}
		return f, nil
	}
	if err != nil {
		return f, err
	}
	data, err := readLinked(now)
	if err != nil {
		f.broken = err
		return f, nil
	}
	f.sum = digest(data)
	f.asItIs = now == real(fact.Path)
	f.pod, f.broken = manifest.Parse(data)
	return f, nil
}

func digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

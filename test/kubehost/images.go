package kubehost

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// An image is one layer with a few programs in /usr/local/bin.
type image struct {
	name     string
	programs []string // paths; the first is what it runs
}

// archive writes images as "docker save" does, which runtimes import.
func archive(w io.Writer, images []image) error {
	out := tar.NewWriter(w)
	var manifest []any
	for _, img := range images {
		entry, err := img.add(out)
		if err != nil {
			return fmt.Errorf("archive %s: %w", img.name, err)
		}
		manifest = append(manifest, entry)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := addFile(out, "manifest.json", text, 0o644); err != nil {
		return err
	}
	return out.Close()
}

// add writes an image's files into an archive and returns its entry in the
// manifest.
func (img image) add(out *tar.Writer) (entry any, err error) {
	layer, err := img.layer()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(img.config(layer))
	if err != nil {
		return nil, err
	}
	// Every host gets a copy of it.
	compressed, err := compress(layer)
	if err != nil {
		return nil, err
	}
	configName, layerName := digest(config)+".json", digest(compressed)+".tar.gz"
	if err := addFile(out, configName, config, 0o644); err != nil {
		return nil, err
	}
	return map[string]any{
		"Config": configName, "RepoTags": []string{img.name}, "Layers": []string{layerName},
	}, addFile(out, layerName, compressed, 0o644)
}

// layer is a tar of the image's files.
func (img image) layer() ([]byte, error) {
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for _, path := range img.programs {
		program, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := addFile(out, "usr/local/bin/"+filepath.Base(path), program, 0o755); err != nil {
			return nil, err
		}
	}
	err := out.Close()
	return b.Bytes(), err
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	out, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(data); err != nil {
		return nil, err
	}
	err = out.Close()
	return b.Bytes(), err
}

func (img image) config(layer []byte) any {
	return map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Env":        []string{"PATH=/usr/local/bin"},
			"Entrypoint": []string{"/usr/local/bin/" + filepath.Base(img.programs[0])},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	}
}

func addFile(out *tar.Writer, name string, data []byte, mode int64) error {
	header := &tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err := out.Write(data)
	return err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox"
)

// manifestFormat changes when an older program must not read a manifest.
const manifestFormat = 1

// maxManifest bounds a manifest in octets: a million files take a fifth of it.
const maxManifest = 1 << 30

// Manifest says what one backup consists of.
type Manifest struct {
	Format     int            `json:"format"`
	Time       time.Time      `json:"time"`
	Store      string         `json:"store"`      // the identity of the store
	Checkpoint mailbox.ModSeq `json:"checkpoint"` // the LSN that state.db's copy is true for
	Last       mailbox.ModSeq `json:"last"`       // the last change in it
	Complete   bool           `json:"complete"`   // no server ran: nothing was acknowledged that is not in it
	Files      []File         `json:"files"`
}

// File is a file of a backup. Its name begins with "store/", as it is named in
// the store's folder, or with "beside/", as it is named in the server's.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // octets
	SHA256 string `json:"sha256"`
}

const (
	inStore  = "store/"
	inBeside = "beside/"
)

// at is where in a backup folder a file is.
func (m *Manifest) at(f File) string {
	if name, ok := strings.CutPrefix(f.Name, inStore); ok {
		return path.Join(storesFolder, m.Store, name)
	}
	return path.Join(besideFolder, f.SHA256)
}

// size is that of all files, in octets.
func (m *Manifest) size() (total int64) {
	for _, f := range m.Files {
		total += f.Size
	}
	return total
}

// check refuses what this program would not have written: names lead nowhere
// but into the folder that is restored.
func (m *Manifest) check() error {
	if m.Format > manifestFormat {
		return fmt.Errorf("manifest of format %d, this program knows %d: %w", m.Format, manifestFormat, ErrNewerFormat)
	}
	if m.Format < 1 || !storeName.MatchString(m.Store) {
		return fmt.Errorf("%w: not a manifest", ErrDamaged)
	}
	for _, f := range m.Files {
		if err := checkName(f.Name); err != nil {
			return err
		}
		if f.Size < 0 || !sumName.MatchString(f.SHA256) {
			return fmt.Errorf("%w: manifest, file %q", ErrDamaged, f.Name)
		}
	}
	return nil
}

var (
	storeName    = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
	sumName      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	manifestName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{9}Z-([0-9a-f]{16})\.json$`)
)

func checkName(name string) error {
	ours := strings.HasPrefix(name, inStore) || strings.HasPrefix(name, inBeside)
	if !ours || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return fmt.Errorf("%w: a file named %q", ErrDamaged, name)
	}
	return nil
}

// encode returns the manifest and the name it is to have.
func (m *Manifest) encode() (name string, data []byte, err error) {
	if data, err = json.MarshalIndent(m, "", " "); err != nil {
		return "", nil, err
	}
	return m.Time.UTC().Format("20060102T150405.000000000Z") + "-" + sumOf(data)[:16] + ".json", data, nil
}

func decodeManifest(r io.Reader) (*Manifest, error) {
	m := new(Manifest)
	if err := json.NewDecoder(io.LimitReader(r, maxManifest)).Decode(m); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	return m, m.check()
}

// Manifests returns the names of a backup folder's manifests, the newest last.
// ErrNoBackup when it is none.
func Manifests(dir string) ([]string, error) {
	if !IsBackup(dir) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoBackup)
	}
	entries, err := os.ReadDir(filepath.Join(dir, manifestFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries { // ReadDir sorts
		if manifestName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// ReadManifest reads a manifest by its name, the newest one for "". Its name
// proves that it is whole. ErrNoBackup, ErrDamaged, ErrNewerFormat.
func ReadManifest(dir, name string) (*Manifest, error) {
	names, err := Manifests(dir)
	if err != nil {
		return nil, err
	}
	if name == "" && len(names) > 0 {
		name = names[len(names)-1]
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%s has no manifest %s: %w", dir, name, ErrNoBackup)
	}
	data, err := os.ReadFile(filepath.Join(dir, manifestFolder, name))
	if err != nil {
		return nil, err
	}
	if sumOf(data)[:16] != manifestName.FindStringSubmatch(name)[1] {
		return nil, fmt.Errorf("%w: manifest %s", ErrDamaged, name)
	}
	m, err := decodeManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", name, err)
	}
	return m, nil
}

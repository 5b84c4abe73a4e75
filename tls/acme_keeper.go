package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"
)

// keeper is what of ours is in the Storage, beside what certmagic has there under "certificates":
//
//	acme/AUTHORITY/account.json, account.key    the account
//	keys/NAME/current, keys/NAME/next           the keys of a name
//	status/NAME                                 a record in JSON
//
// The keys are ours and not those beside certmagic's certificates, since those come and go with the
// certificate: a key outlives it, so that a TLSA record stays right whatever becomes of a renewal.
type keeper struct {
	storage certmagic.Storage
	issuer  string // as certmagic names it
}

// The keys of a name.
const (
	currentKey = "current"
	nextKey    = "next"
)

// key reads a key of a name; nil where there is none.
func (k *keeper) key(ctx context.Context, name, which string) (*ecdsa.PrivateKey, error) {
	return k.readKey(ctx, path.Join("keys", name, which))
}

func (k *keeper) readKey(ctx context.Context, at string) (*ecdsa.PrivateKey, error) {
	data, err := k.storage.Load(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in PEM form", at)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an ECDSA key", at)
	}
	return key, nil
}

func (k *keeper) storeKey(ctx context.Context, name, which string, key *ecdsa.PrivateKey) error {
	return k.writeKey(ctx, path.Join("keys", name, which), key)
}

func (k *keeper) writeKey(ctx context.Context, at string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return k.storage.Store(ctx, at, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// promote makes the next key the current one. A crash between the two steps leaves a next key that is the current one:
// load does it again.
func (k *keeper) promote(ctx context.Context, name string, key *ecdsa.PrivateKey) error {
	if err := k.storeKey(ctx, name, currentKey, key); err != nil {
		return err
	}
	return k.storage.Delete(ctx, path.Join("keys", name, nextKey))
}

// record reads what is kept of a name. What cannot be read counts as nothing.
func (k *keeper) record(ctx context.Context, name string) (r record, err error) {
	data, err := k.storage.Load(ctx, path.Join("status", name))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	if json.Unmarshal(data, &r) != nil {
		return record{}, nil
	}
	return r, nil
}

func (k *keeper) storeRecord(ctx context.Context, name string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return k.storage.Store(ctx, path.Join("status", name), data)
}

// chain reads the certificate of a name with its intermediates. fs.ErrNotExist.
func (k *keeper) chain(ctx context.Context, name string) ([][]byte, error) {
	data, err := k.storage.Load(ctx, certmagic.StorageKeys.SiteCert(k.issuer, name))
	if err != nil {
		return nil, err
	}
	return parseChain(data), nil
}

// maxChain bounds the certificates of a chain; real ones have two to four.
const maxChain = 10

// parseChain reads certificates in PEM form.
func parseChain(data []byte) (chain [][]byte) {
	for len(chain) < maxChain {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	return chain
}

// errNoChain says that there are no certificates where some should be.
var errNoChain = errors.New("no certificate in PEM form")

func parseLeaf(chain [][]byte) (*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errNoChain
	}
	return x509.ParseCertificate(chain[0])
}

// issuerName is who a certificate is from, in a few words.
func issuerName(leaf *x509.Certificate) string {
	if len(leaf.Issuer.Organization) > 0 {
		return leaf.Issuer.Organization[0] + " " + leaf.Issuer.CommonName
	}
	return leaf.Issuer.CommonName
}

// TLSA is the text of a TLSA record (RFC 6698 section 2.2) for the server that has the key: 3 1 1, as
// RFC 7672 section 3.1.1 recommends for mail, and so good for every certificate of the key. "" for a key
// that no certificate can have.
func TLSA(public any) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return "3 1 1 " + hex.EncodeToString(sum[:])
}

// Stored tells what is stored of the names, without a server that keeps them; of the certificates of several authorities, the
// newest of each name.
func Stored(ctx context.Context, storage certmagic.Storage) ([]State, error) {
	states := []State{}
	names, err := children(ctx, storage, "keys")
	if err != nil {
		return nil, err
	}
	authorities, err := children(ctx, storage, "certificates")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		newest := State{}
		for _, authority := range append(authorities, "") {
			a := &ACME{o: ACMEOptions{Options: Options{}.withDefaults(), Storage: storage}, keeper: &keeper{storage, authority}}
			e, err := a.openEntry(ctx, name, false)
			if err != nil {
				return nil, fmt.Errorf("certificate of %s: %w", name, err)
			}
			if s := e.state(); newest.Name == "" || s.NotAfter.After(newest.NotAfter) {
				newest = s
			}
		}
		states = append(states, newest)
	}
	return states, nil
}

// children are the names of what is in a folder.
func children(ctx context.Context, storage certmagic.Storage, folder string) (names []string, err error) {
	keys, err := storage.List(ctx, folder, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, key := range keys {
		names = append(names, path.Base(key))
	}
	return names, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox/directory"
)

var writeWrong = flag.Bool("write-wrong", false, "write what TestWrongAdministration gets into testdata/wrong-administration.txt")

// wrongActions are requests about domains, accounts and aliases that cannot be done. Parameters are as they
// come through the socket.
var wrongActions = []struct{ action, params string }{
	{"domain add", `{"name":"a.test"}`},
	{"domain add", `{"name":"A.TEST."}`},
	{"domain add", `{"name":"alias.test"}`},
	{"domain add", `{"name":"xn--bcher-kva.test"}`},
	{"domain add", `{"name":"Bücher.Test"}`},
	{"domain add", `{"name":""}`},
	{"domain add", `{"name":"ann@a.test"}`},
	{"domain add", `{"name":"under_score.test"}`},
	{"domain add", `{"name":"a..test"}`},
	{"domain add", `{"name":"-a.test"}`},
	{"domain add", `{"name":"a b.test"}`},
	{"domain add", `{"name":"a\nb.test"}`},
	{"domain remove", `{"name":"b.test"}`},
	{"domain remove", `{"name":"a.test"}`},
	{"domain remove", `{"name":"bücher.test"}`},
	{"domain remove", `{"name":"masked.test"}`},
	{"domain show", `{"name":"b.test"}`},
	{"domain catch-all", `{"domain":"a.test","account":"nobody@a.test"}`},
	{"domain catch-all", `{"domain":"b.test","account":"ann@a.test"}`},
	{"domain catch-all", `{"domain":"alias.test","account":"ann@a.test"}`},
	{"domain alias add", `{"alias":"a.test","domain":"a.test"}`},
	{"domain alias add", `{"alias":"a.test","domain":"bücher.test"}`},
	{"domain alias add", `{"alias":"new.test","domain":"alias.test"}`},
	{"domain alias add", `{"alias":"alias.test","domain":"a.test"}`},
	{"domain alias add", `{"alias":"alias.test","domain":"bücher.test"}`},
	{"domain alias add", `{"alias":"new.test","domain":"none.test"}`},
	{"domain alias add", `{"alias":"caught.test","domain":"a.test"}`},
	{"domain alias remove", `{"name":"a.test"}`},
	{"account add", `{"name":"ann@a.test","password":"x"}`},
	{"account add", `{"name":"ANN@alias.test","password":"x"}`},
	{"account add", `{"name":"info@a.test","password":"x"}`},
	{"account add", `{"name":"bob","password":"x"}`},
	{"account add", `{"name":"@a.test","password":"x"}`},
	{"account add", `{"name":"bob@elsewhere.test","password":"x"}`},
	{"account add", `{"name":"\"bob b\"@a.test","password":"x"}`},
	{"account add", `{"name":"bob b@a.test","password":"x"}`},
	{"account add", `{"name":"bob+x@a.test","password":"x"}`},
	{"account add", `{"name":"bob@a_b.test","password":"x"}`},
	{"account add", `{"name":".bob@a.test","password":"x"}`},
	{"account add", `{"name":"` + strings.Repeat("b", 65) + `@a.test","password":"x"}`},
	{"account add", `{"name":"bob@a.test","password":""}`},
	{"account add", `{"name":"bob@a.test","password":"a\u0000b"}`},
	{"account add", `{"name":"bob@a.test","password":"bell\u0007"}`},
	{"account add", `{"name":"bob@a.test","password":"` + strings.Repeat("x", 1025) + `"}`},
	{"account password", `{"name":"nobody@a.test","password":"x"}`},
	{"account show", `{"name":"nobody@a.test"}`},
	{"account show", `{"name":"no\u0001body@a.test"}`},
	{"account remove", `{"name":"nobody@a.test"}`},
	{"account restore", `{"name":"nobody@a.test"}`},
	{"account disable", `{"name":"nobody@a.test"}`},
	{"account disable", `{"name":"ann@a.test","reason":"two\nlines"}`},
	{"account disable", `{"name":"off@a.test"}`},
	{"account enable", `{"name":"ann@a.test"}`},
	{"account rename", `{"name":"nobody@a.test","new":"x@a.test"}`},
	{"account rename", `{"name":"ann@a.test","new":"Ann@a.test"}`},
	{"account rename", `{"name":"ann@a.test","new":"off@a.test"}`},
	{"account rename", `{"name":"ann@a.test","new":"info@a.test"}`},
	{"account rename", `{"name":"ann@a.test","new":"ann@elsewhere.test"}`},
	{"account rename", `{"name":"ann@a.test","new":"anna@alias.test"}`},
	{"account rename", `{"name":"ann@a.test","new":"ann lee@a.test"}`},
	{"account address add", `{"account":"ann@a.test","address":"info@a.test"}`},
	{"account address add", `{"account":"ann@a.test","address":"x@alias.test"}`},
	{"account address remove", `{"account":"ann@a.test","address":"ann@a.test"}`},
	{"account address remove", `{"account":"ann@a.test","address":"x@a.test"}`},
	{"account app-password add", `{"account":"ann@a.test","label":""}`},
	{"account app-password add", `{"account":"ann@a.test","label":"x","scope":["web"]}`},
	{"account app-password add", `{"account":"ann@a.test","label":"x","expires":"2020-01-01T00:00:00Z"}`},
	{"account app-password remove", `{"account":"ann@a.test","label":"phone"}`},
	{"account block add", `{"account":"ann@a.test","address":"192.0.2.1"}`},
	{"account block add", `{"account":"ann@a.test","address":"x y"}`},
	{"account block remove", `{"account":"ann@a.test","address":"far.test"}`},
	{"account forward add", `{"account":"ann@a.test","addresses":["ann@a.test"]}`},
	{"account forward add", `{"account":"ann@a.test","addresses":["info@alias.test"]}`},
	{"account forward add", `{"account":"ann@a.test","addresses":["nonsense"]}`},
	{"account forward remove", `{"account":"ann@a.test"}`},
	{"account vacation off", `{"name":"ann@a.test"}`},
	{"alias add", `{"address":"info@a.test","members":["ann@alias.test"]}`},
	{"alias add", `{"address":"ann@a.test","members":["x@far.test"]}`},
	{"alias add", `{"address":"info@b.test","members":["ann@a.test"]}`},
	{"alias add", `{"address":"new@alias.test","members":["ann@a.test"]}`},
	{"alias add", `{"address":"self@a.test","members":["self@alias.test"]}`},
	{"alias add", `{"address":"info@a.test","members":["outer@a.test"]}`},
	{"alias add", `{"address":"new@a.test","members":["x"]}`},
	{"alias add", `{"address":"new name@a.test","members":["ann@a.test"]}`},
	{"alias add", `{"address":"info@a.test","owner":"info-bounces@a.test"}`},
	{"alias remove", `{"address":"none@a.test"}`},
	{"alias remove", `{"address":"info@a.test","members":["bob@a.test"]}`},
	{"alias show", `{"name":"none@a.test"}`},
	{"alias masked add", `{"account":"nobody@a.test"}`},
	{"alias masked add", `{"account":"ann@a.test","domain":"far.test"}`},
	{"alias masked add", `{"account":"ann@a.test","domain":"alias.test"}`},
	{"alias masked add", `{"account":"ann@a.test","label":"a\tb"}`},
	{"alias masked add", `{"account":"ann@a.test","expires":"2020-01-01T00:00:00Z"}`},
	{"alias masked add", `{"account":"ann@a.test","address":"info@a.test"}`},
	{"alias masked add", `{"account":"ann@a.test","address":"x@far.test"}`},
	{"alias masked add", `{"account":"nobody@a.test","address":"x@a.test"}`},
	{"alias masked off", `{"name":"ann@a.test"}`},
	{"alias masked remove", `{"name":"none"}`},
	{"unban", `{"name":"192.0.2.1"}`},
}

// TestWrongAdministration: what cannot be done is said in a sentence that names the thing and what helps, with an exit status
// above 0, and changes nothing.
func TestWrongAdministration(t *testing.T) {
	s := defaultSettings()
	s.Dir, s.errand = t.TempDir(), true
	if err := os.Mkdir(storeDir(s.Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	err := alone(&s, slog.New(slog.DiscardHandler), func(a *admin) error {
		if err := furnish(t.Context(), a.directory); err != nil {
			return err
		}
		before := snapshot(t, a)
		for _, w := range wrongActions {
			r := a.do(t.Context(), request{Action: w.action, Params: json.RawMessage(w.params)}, unheard)
			if r.Failure == nil || r.Failure.Exit == 0 {
				t.Errorf("%s %s succeeds", w.action, w.params)
				continue
			}
			fmt.Fprintf(&all, "%s %s\n\t%d: %s\n", w.action, short(w.params), r.Failure.Exit, r.Failure.Text)
		}
		if after := snapshot(t, a); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := maskedAddress.ReplaceAllString(aTime.ReplaceAllString(all.String(), "TIME"), "MASKED@")
	const golden = "testdata/wrong-administration.txt"
	if *writeWrong {
		err := os.WriteFile(golden, []byte(got), 0o644)
		if err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if i := strings.Index(got, "directory: "); i >= 0 {
		t.Errorf("a word of the code's own: %s", got[max(0, i-80):i+40])
	}
}

// furnish makes what the wrong requests are about.
func furnish(ctx context.Context, d *directory.Directory) error {
	err := errors.Join(d.AddDomain(ctx, "a.test"), d.AddDomain(ctx, "bücher.test"), d.AddDomain(ctx, "caught.test"), d.AddDomain(ctx, "masked.test"))
	for _, name := range []string{"ann@a.test", "off@a.test"} {
		_, e := d.AddAccount(ctx, name, "pässword 密码")
		err = errors.Join(err, e)
	}
	_, e := d.AddMasked(ctx, "ann@a.test", "shop", "masked.test", time.Time{})
	return errors.Join(err, e,
		d.AddAliasDomain(ctx, "alias.test", "a.test"),
		d.AddAlias(ctx, "info@a.test", "ann@a.test"), d.AddAlias(ctx, "outer@a.test", "info@a.test"),
		d.SetCatchAll(ctx, "caught.test", "ann@a.test"), d.AddAlias(ctx, "x@bücher.test", "ann@a.test"),
		d.DisableAccount(ctx, "off@a.test", "", false))
}

// snapshot is what administrators see.
func snapshot(t *testing.T, a *admin) string {
	t.Helper()
	var all strings.Builder
	for _, action := range []string{"domain list", "account list", "account list-deleted", "alias list", "alias masked list"} {
		r := a.do(t.Context(), request{Action: action, Params: json.RawMessage("{}")}, unheard)
		if r.Failure != nil {
			t.Fatalf("%s: %+v", action, r.Failure)
		}
		fmt.Fprintf(&all, "%s %s\n", action, r.Result)
	}
	return all.String()
}

var longRun = regexp.MustCompile(`(b{60}b*|x{60}x*)`)

func short(s string) string {
	return longRun.ReplaceAllStringFunc(s, func(run string) string { return fmt.Sprintf("%c×%d", run[0], len(run)) })
}

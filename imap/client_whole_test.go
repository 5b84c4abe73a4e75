package imap

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"mailstead/mailbox"
)

// clientCall is what a method of go-imap's client is called for, and what has to come of it.
type clientCall struct {
	method string
	call   func(t *testing.T, c *imapclient.Client)
}

// wholeOf returns options that have all fields set: an option that the client gains is a test
// that fails here, until it is asked for.
func wholeOf[T any](t *testing.T, options *T, without ...string) *T {
	t.Helper()
	v := reflect.ValueOf(*options)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && !slices.Contains(without, name) {
			t.Errorf("%T: %s is empty", *options, name)
		}
	}
	return options
}

// TestClientWhole calls every method of go-imap's client, with every option of it, and reads what it
// made of the answers.
func TestClientWhole(t *testing.T) {
	ts := newTestServer(t)
	must(t, ts.store.SetQuota(t.Context(), ts.account, mailbox.Quota{Storage: 1 << 20, Messages: 100}))
	c := ts.client(t, nil)
	called := map[string]bool{}
	for _, steps := range [][]clientCall{callsWithoutMailbox(), callsOfMailboxes(), callsOfMessages(), callsOfTheEnd()} {
		for _, step := range steps {
			called[step.method] = true
			step.call(t, c)
			if t.Failed() {
				t.Fatalf("at %s", step.method)
			}
		}
	}
	methods := reflect.TypeFor[*imapclient.Client]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !called[name] {
			t.Errorf("%s is not called", name)
		}
	}
}

func callsWithoutMailbox() []clientCall {
	return []clientCall{
		{"WaitGreeting", func(t *testing.T, c *imapclient.Client) { must(t, c.WaitGreeting()) }},
		{"State", func(t *testing.T, c *imapclient.Client) {
			if state := c.State(); state != goimap.ConnStateNotAuthenticated {
				t.Error(state)
			}
		}},
		{"Noop", func(t *testing.T, c *imapclient.Client) { must(t, c.Noop().Wait()) }},
		{"Login", func(t *testing.T, c *imapclient.Client) { must(t, c.Login(testUser, testPassword).Wait()) }},
		{"Unauthenticate", func(t *testing.T, c *imapclient.Client) { must(t, c.Unauthenticate().Wait()) }},
		{"Authenticate", func(t *testing.T, c *imapclient.Client) {
			must(t, c.Authenticate(sasl.NewPlainClient("", testUser, testPassword)))
		}},
		{"Capability", func(t *testing.T, c *imapclient.Client) {
			_, err := c.Capability().Wait()
			must(t, err)
		}},
		{"Caps", func(t *testing.T, c *imapclient.Client) {
			for _, want := range []goimap.Cap{
				goimap.CapIMAP4rev2, goimap.CapQResync, goimap.CapSort, goimap.CapMove, goimap.CapMetadata, goimap.CapACL, goimap.CapQuota,
				goimap.CapNotify, goimap.CapMultiAppend, goimap.CapCatenate, goimap.CapReplace, goimap.CapPreview, goimap.CapObjectID,
			} {
				if !c.Caps().Has(want) {
					t.Errorf("no %s", want)
				}
			}
		}},
		{"ID", func(t *testing.T, c *imapclient.Client) {
			theirs, err := c.ID(wholeOf(t, &goimap.IDData{
				Name: "a", Version: "b", OS: "c", OSVersion: "d", Vendor: "e", SupportURL: "f", Address: "g", Date: "h", Command: "i", Arguments: "j", Environment: "k",
			})).Wait()
			must(t, err)
			if theirs.Name == "" {
				t.Errorf("%+v", theirs)
			}
		}},
		{"Enable", func(t *testing.T, c *imapclient.Client) {
			data, err := c.Enable(goimap.CapIMAP4rev2, goimap.CapUTF8Accept).Wait()
			must(t, err)
			if !data.Caps.Has(goimap.CapIMAP4rev2) {
				t.Errorf("%v", data.Caps)
			}
		}},
		{"Namespace", func(t *testing.T, c *imapclient.Client) {
			data, err := c.Namespace().Wait()
			must(t, err)
			if len(data.Personal) != 1 || len(data.Other) != 1 || data.Other[0].Prefix != "Other Users/" {
				t.Errorf("%+v", data)
			}
		}},
		{"GetQuotaRoot", func(t *testing.T, c *imapclient.Client) {
			data, err := c.GetQuotaRoot("INBOX").Wait()
			must(t, err)
			if len(data) != 1 || data[0].Resources[goimap.QuotaResourceStorage].Limit != 1024 {
				t.Errorf("%+v", data)
			}
		}},
		{"GetQuota", func(t *testing.T, c *imapclient.Client) {
			data, err := c.GetQuota("").Wait()
			must(t, err)
			if data.Resources[goimap.QuotaResourceMessage].Limit != 100 {
				t.Errorf("%+v", data)
			}
		}},
		{"SetQuota", func(t *testing.T, c *imapclient.Client) { // QUOTASET is not announced: limits are the administrator's
			if err := c.SetQuota("", map[goimap.QuotaResourceType]int64{goimap.QuotaResourceStorage: 1 << 30}).Wait(); err == nil {
				t.Error("a client has changed its quota")
			}
		}},
	}
}

func callsOfMailboxes() []clientCall {
	value := []byte("of the mailbox")
	return []clientCall{
		{"Create", func(t *testing.T, c *imapclient.Client) {
			must(t, c.Delete("Archive").Wait())
			must(t, c.Create("Ablage/Größe", wholeOf(t, &goimap.CreateOptions{SpecialUse: []goimap.MailboxAttr{goimap.MailboxAttrArchive}})).Wait())
		}},
		{"Rename", func(t *testing.T, c *imapclient.Client) {
			must(t, c.Rename("Ablage/Größe", "Ablage/Maße", nil).Wait())
		}},
		{"Subscribe", func(t *testing.T, c *imapclient.Client) { must(t, c.Subscribe("Ablage/Maße").Wait()) }},
		{"Append", func(t *testing.T, c *imapclient.Client) {
			for _, body := range threeLetters {
				cmd := c.Append("Ablage/Maße", int64(len(body)), wholeOf(t, &goimap.AppendOptions{Flags: []goimap.Flag{goimap.FlagFlagged}, Time: time.Unix(1e9, 0)}))
				_, err := cmd.Write([]byte(body))
				must(t, err)
				must(t, cmd.Close())
				data, err := cmd.Wait()
				must(t, err)
				if data.UID == 0 || data.UIDValidity == 0 {
					t.Errorf("%+v", data)
				}
			}
		}},
		{"Status", func(t *testing.T, c *imapclient.Client) {
			data, err := c.Status("Ablage/Maße", statusOfAll(t)).Wait()
			must(t, err)
			wholeOf(t, data, "NumRecent")
			if *data.NumMessages != uint32(len(threeLetters)) || *data.NumUnseen != uint32(len(threeLetters)) {
				t.Errorf("%+v", data)
			}
		}},
		{"List", func(t *testing.T, c *imapclient.Client) {
			data, err := c.List("", "Ablage/*", wholeOf(t, &goimap.ListOptions{
				SelectSubscribed: true, SelectRemote: true, SelectRecursiveMatch: true, SelectSpecialUse: true,
				ReturnSubscribed: true, ReturnChildren: true, ReturnStatus: statusOfAll(t), ReturnSpecialUse: true,
			})).Collect()
			must(t, err)
			if len(data) != 1 || data[0].Mailbox != "Ablage/Maße" || !slices.Contains(data[0].Attrs, goimap.MailboxAttrArchive) || data[0].Status == nil {
				t.Errorf("%+v", data)
			}
		}},
		{"SetMetadata", func(t *testing.T, c *imapclient.Client) {
			must(t, c.SetMetadata("Ablage/Maße", map[string]*[]byte{"/private/comment": &value, "/shared/comment": nil}).Wait())
		}},
		{"GetMetadata", func(t *testing.T, c *imapclient.Client) {
			most := uint32(1000)
			data, err := c.GetMetadata("Ablage/Maße", []string{"/private"}, wholeOf(t, &imapclient.GetMetadataOptions{MaxSize: &most, Depth: imapclient.GetMetadataDepthInfinity})).Wait()
			must(t, err)
			if got := data.Entries["/private/comment"]; got == nil || string(*got) != string(value) {
				t.Errorf("%+v", data)
			}
		}},
		{"SetACL", func(t *testing.T, c *imapclient.Client) {
			must(t, c.SetACL("Ablage/Maße", testUser2, goimap.RightModificationAdd, goimap.RightSet("lr")).Wait())
		}},
		{"GetACL", func(t *testing.T, c *imapclient.Client) {
			data, err := c.GetACL("Ablage/Maße").Wait()
			must(t, err)
			if got := data.Rights[testUser2]; !got.Equal(goimap.RightSet("lr")) {
				t.Errorf("%+v", data)
			}
		}},
		{"MyRights", func(t *testing.T, c *imapclient.Client) {
			data, err := c.MyRights("Ablage/Maße").Wait()
			must(t, err)
			if !strings.Contains(data.Rights.String(), "a") {
				t.Errorf("%+v", data)
			}
		}},
	}
}

func statusOfAll(t *testing.T) *goimap.StatusOptions {
	return wholeOf(t, &goimap.StatusOptions{
		NumMessages: true, UIDNext: true, UIDValidity: true, NumUnseen: true, NumDeleted: true, Size: true, AppendLimit: true, DeletedStorage: true, HighestModSeq: true,
	}, "NumRecent")
}

// threeLetters are of one thread; the last has two parts.
var threeLetters = []string{
	"From: c@x.example\r\nSubject: one\r\nMessage-ID: <1@x>\r\nDate: Mon, 6 Jul 2020 10:00:00 +0200\r\n\r\nfirst",
	"From: b@x.example\r\nSubject: Re: one\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\nDate: Mon, 6 Jul 2020 11:00:00 +0200\r\n\r\nsecond",
	"From: a@x.example\r\nSubject: Re: one\r\nMessage-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\nDate: Mon, 6 Jul 2020 12:00:00 +0200\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthird\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\ndGhpcmQ=\r\n--b--\r\n",
}

func callsOfMessages() []clientCall {
	everything := &goimap.SearchCriteria{}
	byFrom := &imapclient.SortOptions{SearchCriteria: everything, SortCriteria: []imapclient.SortCriterion{{Key: imapclient.SortKeySubject}, {Key: imapclient.SortKeyFrom, Reverse: true}}}
	inThreads := func(a goimap.ThreadAlgorithm) *imapclient.ThreadOptions {
		return &imapclient.ThreadOptions{Algorithm: a, SearchCriteria: everything}
	}
	return []clientCall{
		{"Select", func(t *testing.T, c *imapclient.Client) {
			_, err := c.Select("Ablage/Maße", wholeOf(t, &goimap.SelectOptions{ReadOnly: true, CondStore: true})).Wait() // EXAMINE
			must(t, err)
			data, err := c.Select("Ablage/Maße", nil).Wait()
			must(t, err)
			wholeOf(t, data, "FirstUnseenSeqNum", "NumRecent")
		}},
		{"Mailbox", func(t *testing.T, c *imapclient.Client) {
			must(t, c.Noop().Wait()) // the client hands SELECT's answer over before it takes the mailbox for its own
			if m := c.Mailbox(); m == nil || m.Name != "Ablage/Maße" || m.NumMessages != uint32(len(threeLetters)) {
				t.Errorf("%+v", m)
			}
		}},
		{"Search", func(t *testing.T, c *imapclient.Client) {
			data, err := c.Search(wholeCriteria(t), wholeOf(t, &goimap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnAll: true, ReturnCount: true, ReturnSave: true})).Wait()
			must(t, err)
			if data.Count != 1 || data.Min != 2 || data.Max != 2 || data.All.String() != "2" {
				t.Errorf("%+v", data)
			}
		}},
		{"UIDSearch", func(t *testing.T, c *imapclient.Client) {
			data, err := c.UIDSearch(everything, nil).Wait()
			must(t, err)
			if len(data.AllUIDs()) != len(threeLetters) {
				t.Errorf("%+v", data)
			}
		}},
		{"Sort", func(t *testing.T, c *imapclient.Client) {
			order, err := c.Sort(byFrom).Wait()
			must(t, err)
			if !slices.Equal(order, []uint32{1, 2, 3}) {
				t.Error(order)
			}
		}},
		{"UIDSort", func(t *testing.T, c *imapclient.Client) {
			order, err := c.UIDSort(&imapclient.SortOptions{SearchCriteria: everything, SortCriteria: []imapclient.SortCriterion{{Key: imapclient.SortKeyDate, Reverse: true}}}).Wait()
			must(t, err)
			if !slices.Equal(order, []uint32{3, 2, 1}) {
				t.Error(order)
			}
		}},
		{"Thread", func(t *testing.T, c *imapclient.Client) {
			threads, err := c.Thread(inThreads(goimap.ThreadReferences)).Wait()
			must(t, err)
			if len(threads) != 1 || !slices.Equal(threads[0].Chain, []uint32{1, 2, 3}) {
				t.Errorf("%+v", threads)
			}
		}},
		{"UIDThread", func(t *testing.T, c *imapclient.Client) {
			threads, err := c.UIDThread(inThreads(goimap.ThreadOrderedSubject)).Wait()
			must(t, err)
			if len(threads) != 1 || len(threads[0].SubThreads) != 2 {
				t.Errorf("%+v", threads)
			}
		}},
		{"Fetch", fetchEverything},
		{"Store", func(t *testing.T, c *imapclient.Client) {
			for _, op := range []goimap.StoreFlagsOp{goimap.StoreFlagsSet, goimap.StoreFlagsDel, goimap.StoreFlagsAdd} {
				data, err := c.Store(goimap.SeqSetNum(3), wholeOf(t, &goimap.StoreFlags{Op: op, Silent: true, Flags: []goimap.Flag{goimap.FlagDeleted}}, "Op"),
					wholeOf(t, &goimap.StoreOptions{UnchangedSince: 1 << 40})).Collect()
				must(t, err)
				if len(data) != 1 || data[0].ModSeq == 0 {
					t.Errorf("%+v", data)
				}
			}
		}},
		{"Copy", func(t *testing.T, c *imapclient.Client) {
			data, err := c.Copy(goimap.SeqSetNum(1, 2), "INBOX").Wait()
			must(t, err)
			if data.SourceUIDs.String() != "1:2" || data.DestUIDs.String() != "1:2" {
				t.Errorf("%+v", data)
			}
		}},
		{"Move", func(t *testing.T, c *imapclient.Client) {
			data, err := c.Move(goimap.UIDSetNum(2), "INBOX").Wait()
			must(t, err)
			if data.SourceUIDs.(goimap.UIDSet).String() != "2" {
				t.Errorf("%+v", data)
			}
		}},
		{"UIDExpunge", func(t *testing.T, c *imapclient.Client) {
			gone, err := c.UIDExpunge(goimap.UIDSetNum(1)).Collect() // is not marked
			must(t, err)
			if len(gone) != 0 {
				t.Error(gone)
			}
		}},
		{"Expunge", func(t *testing.T, c *imapclient.Client) {
			gone, err := c.Expunge().Collect()
			must(t, err)
			if !slices.Equal(gone, []uint32{2}) {
				t.Error(gone)
			}
		}},
		{"Idle", func(t *testing.T, c *imapclient.Client) {
			idle, err := c.Idle()
			must(t, err)
			must(t, idle.Close())
			must(t, idle.Wait())
		}},
	}
}

// wholeCriteria are all keys that the client has; they find the second letter.
func wholeCriteria(t *testing.T) *goimap.SearchCriteria {
	long, soon := time.Unix(0, 0), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return wholeOf(t, &goimap.SearchCriteria{
		SeqNum: []goimap.SeqSet{goimap.SeqSetNum(1, 2)}, UID: []goimap.UIDSet{goimap.UIDSetNum(2, 3)},
		Since: long, Before: soon, SentSince: long, SentBefore: soon,
		Header: []goimap.SearchCriteriaHeaderField{{Key: "From", Value: "b@X"}, {Key: "Message-ID", Value: "<2@x>"}},
		Body:   []string{"SECOND"}, Text: []string{"one"}, Flag: []goimap.Flag{goimap.FlagFlagged}, NotFlag: []goimap.Flag{goimap.FlagSeen, "$none"},
		Larger: 1, Smaller: 1 << 20, Not: []goimap.SearchCriteria{{Body: []string{"größe"}}},
		Or:     [][2]goimap.SearchCriteria{{{Body: []string{"nothing"}}, {Body: []string{"second"}}}},
		ModSeq: &goimap.SearchCriteriaModSeq{ModSeq: 1},
	})
}

func fetchEverything(t *testing.T, c *imapclient.Client) {
	data, err := c.Fetch(goimap.SeqSetNum(3), wholeOf(t, &goimap.FetchOptions{
		BodyStructure: &goimap.FetchItemBodyStructure{Extended: true}, Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true,
		BodySection: []*goimap.FetchItemBodySection{
			{Peek: true}, {Part: []int{1}, Partial: &goimap.SectionPartial{Offset: 1, Size: 2}, Peek: true}, {Part: []int{2}, Specifier: goimap.PartSpecifierMIME, Peek: true},
			{Specifier: goimap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Peek: true}, {Specifier: goimap.PartSpecifierHeader, HeaderFieldsNot: []string{"From"}, Peek: true},
			{Specifier: goimap.PartSpecifierText, Peek: true},
		},
		BinarySection:     []*goimap.FetchItemBinarySection{{Part: []int{2}, Peek: true}},
		BinarySectionSize: []*goimap.FetchItemBinarySectionSize{{Part: []int{2}}},
		ChangedSince:      1,
	})).Collect()
	must(t, err)
	if len(data) != 1 {
		t.Fatalf("%d messages", len(data))
	}
	m := wholeOf(t, data[0])
	if len(m.BodySection) != 6 || string(m.BinarySection[0].Bytes) != "third" || m.BinarySectionSize[0].Size != 5 || m.Envelope.From[0].Addr() != "a@x.example" {
		t.Errorf("%+v", m)
	}
	for _, section := range m.BodySection {
		if section.Section.Partial != nil && string(section.Bytes) != "hi" {
			t.Errorf("BODY[1]<1.2>: %q", section.Bytes)
		}
	}
}

func callsOfTheEnd() []clientCall {
	return []clientCall{
		{"Unselect", func(t *testing.T, c *imapclient.Client) { must(t, c.Unselect().Wait()) }},
		{"UnselectAndExpunge", func(t *testing.T, c *imapclient.Client) {
			_, err := c.Select("INBOX", nil).Wait()
			must(t, err)
			must(t, c.UnselectAndExpunge().Wait())
		}},
		{"Unsubscribe", func(t *testing.T, c *imapclient.Client) { must(t, c.Unsubscribe("Ablage/Maße").Wait()) }},
		{"Delete", func(t *testing.T, c *imapclient.Client) { must(t, c.Delete("Ablage/Maße").Wait()) }},
		{"Logout", func(t *testing.T, c *imapclient.Client) { must(t, c.Logout().Wait()) }},
		{"Closed", func(t *testing.T, c *imapclient.Client) { <-c.Closed() }},
		{"Close", func(t *testing.T, c *imapclient.Client) { c.Close() }},
	}
}

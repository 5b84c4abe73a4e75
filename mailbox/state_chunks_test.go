package mailbox

import (
	"errors"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
)

func TestEachChunk(t *testing.T) {
	type call struct {
		number uint32
		uids   []goimap.UID
	}
	for _, c := range []struct {
		name   string
		ranges []uidRange
		below  goimap.UID
		want   []call
	}{
		{"none", nil, 100, nil},
		{"beyond UIDNEXT", []uidRange{{50, 60}}, 50, nil},
		{"cut at UIDNEXT", []uidRange{{48, 4294967295}}, 50, []call{{0, []goimap.UID{48, 49}}}},
		{"wrong way round", []uidRange{{9, 3}}, 50, nil},
		{"one chunk, two ranges", []uidRange{{1, 2}, {9, 9}}, 50, []call{{0, []goimap.UID{1, 2, 9}}}},
		{"over a border", []uidRange{{255, 257}}, 500, []call{{0, []goimap.UID{255}}, {1, []goimap.UID{256, 257}}}},
		{"in no order", []uidRange{{300, 300}, {1, 1}, {301, 301}}, 500,
			[]call{{1, []goimap.UID{300}}, {0, []goimap.UID{1}}, {1, []goimap.UID{301}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []call
			err := eachChunk(c.ranges, c.below, func(number uint32, hit *uidBits) error {
				g := call{number: number}
				for low := range goimap.UID(1 << chunkBits) {
					if uid := goimap.UID(number)<<chunkBits + low; hit.has(uid) {
						g.uids = append(g.uids, uid)
					}
				}
				got = append(got, g)
				return nil
			})
			same := slices.EqualFunc(got, c.want, func(a, b call) bool { return a.number == b.number && slices.Equal(a.uids, b.uids) })
			if err != nil || !same {
				t.Errorf("got %v, error %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestBodyChunkRoundTrip(t *testing.T) {
	list := []storedBody{
		{ID: 64, Refs: 3, Place: log.Place{Segment: 7, Offset: 4096, Size: 1 << 20}},
		{ID: 65, Refs: 1, Lost: true},
		{ID: 66, Refs: 0, Died: 1 << 40, Place: log.Place{Segment: 4294967295, Offset: 4294967295, Size: 1 << 50, Big: true}},
		{ID: 127, Refs: 1 << 33, Place: log.Place{Segment: 1}},
	}
	value := appendBodyChunk(nil, list)
	got, err := decodeBodyChunk(nil, 1, value)
	if err != nil || !slices.Equal(got, list) {
		t.Errorf("got %+v, error %v", got, err)
	}
	for n := 1; n < len(value); n++ { // no prefix is taken for more than it is
		if got, err := decodeBodyChunk(nil, 1, value[:n]); err == nil && !slices.Equal(got, list[:len(got)]) {
			t.Errorf("%d bytes: %+v", n, got)
		}
	}
}

// Whatever a damaged page holds is an error, never a panic or more memory than
// a small multiple of the value.
func FuzzDecodeStored(f *testing.F) {
	messages := []added{testMessage(1, 1, FlagSet{}), testMessage(5, 9, bits(seen))}
	m := diskMailbox{Info: Info{Account: 1, Name: "x", UIDValidity: 3}, Keywords: []string{"k"}}
	f.Add(appendMessageChunk(nil, messages))
	f.Add(appendFlagChunk(nil, []flagged{{1, bits(seen), 5}, {3, FlagSet{}, 2}}))
	f.Add(appendBodyChunk(nil, []storedBody{{ID: 1, Refs: 1, Place: place(1)}, {ID: 2, Died: 3}}))
	f.Add(appendMessages(nil, messages))
	f.Add(appendRanges(nil, []uidRange{{1, 2}, {5, 5}}))
	f.Add(appendGone(nil, 5, &m))
	f.Add(appendCounters(nil, &m))
	f.Add(appendRoomEntry(nil, 5, []byte("value")))
	f.Fuzz(func(t *testing.T, value []byte) {
		_, err1 := decodeMessageChunk(nil, value)
		_, err2 := decodeFlagChunk(nil, value)
		_, err3 := decodeBodyChunk(nil, 0, value)
		_, err4 := decodeDeleted(value)
		_, err5 := decodeHistory(value)
		_, _, err6 := decodeGone(value)
		err7 := decodeCounters(new(diskMailbox), value)
		_, err8 := decodeRoomEntry(value)
		_, err9 := decodeChunks(nil, value, value)
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9} {
			if err != nil && !errors.Is(err, errDatabase) {
				t.Errorf("decoder %d: %v", i+1, err)
			}
		}
	})
}

// What opens a mailbox and what applies records read the same of whatever is stored.
func FuzzDecodeChunks(f *testing.F) {
	messages := []added{testMessage(1, 1, FlagSet{}), testMessage(5, 9, bits(seen)), testMessage(200, 1<<40, FlagSet{})}
	messages[2].Internal = Date{Unix: -5, Zone: -720}
	f.Add(appendMessageChunk(nil, messages), appendFlagChunk(nil, []flagged{{1, bits(seen), 5}, {5, FlagSet{}, 1 << 50}, {200, FlagSet{1 << 63, 1}, 2}}))
	f.Add(appendMessageChunk(nil, messages[:1]), appendFlagChunk(nil, []flagged{{1, bits(seen), 5}, {3, FlagSet{}, 2}}))
	f.Add([]byte{1, 2, 3, 0xff, 0xff, 0x7f, 4, 5}, []byte{1, 0, 0, 1})
	f.Fuzz(func(t *testing.T, messages, flags []byte) {
		got, err := decodeChunks(nil, messages, flags)
		list, errMessages := decodeMessageChunk(nil, messages)
		marks, errFlags := decodeFlagChunk(nil, flags)
		same := errMessages == nil && errFlags == nil && len(list) == len(marks)
		for i := 0; same && i < len(list); i++ {
			same = list[i].UID == marks[i].UID
		}
		if !same {
			if n := len(marks); errFlags == nil && openChunk(newMessages(n, 0), messages, flags) == nil {
				t.Fatal("opening finds nothing wrong")
			}
		}
		if (err == nil) != same {
			t.Fatalf("%v; apart: %v, %v, of the same UIDs: %v", err, errMessages, errFlags, same)
		}
		if !same {
			return
		}
		m := newMessages(len(list), 0)
		tooLarge := slices.ContainsFunc(list, func(m added) bool { return m.Size != int64(uint32(m.Size)) })
		if err := openChunk(m, messages, flags); (err == nil) == tooLarge {
			t.Fatalf("opening %d: %v", len(list), err)
		}
		if in := messagesIn(m); !tooLarge && !slices.Equal(in, got) {
			t.Fatalf("opened: %+v, as a block %+v", in, got)
		}
		for i, m := range list {
			want := Message{UID: m.UID, Flags: marks[i].Flags, ModSeq: marks[i].ModSeq, Size: m.Size, Internal: m.Internal, Saved: m.Saved, Body: m.Body}
			if got[i] != want {
				t.Fatalf("message %d: %+v, apart %+v", i, got[i], want)
			}
		}
	})
}

// openChunk fills m with a chunk as opening a mailbox does.
func openChunk(m *messages, messages, flags []byte) error {
	n, err := m.fillFlags(0, flags)
	if err != nil {
		return err
	}
	if n != m.len() {
		return errors.New("fewer messages than there are")
	}
	return m.fillMessages(0, n, messages)
}

// Package log is the server-wide ordered log: everything that changes the
// store is a record in it, and a record is acknowledged after one flush that
// it shares with whatever was queued meanwhile. It knows records and bodies,
// not mailboxes.
//
// # Files
//
//	DIR/0000000007.seg         a segment; numbers rise and are never used twice
//	DIR/3.tmp                  a segment being prepared; removed at start
//	DIR/0000000007.seg.aside   could not be made sense of; never touched again
//	DIR/big/00000000000000a1   the big body with that id, in hexadecimal
//	DIR/big/ ... a1.aside      named by no record, at a start that found records lost
//
// A segment goes through these states:
//
//	prepared   full length, zeros (or allocated blocks), no header; synced under its name
//	current    header, records, zeros; written behind its last record only
//	full       no more records fit, or Seal was called; synced
//	sealed     cut to its length and synced; never written again
//	removed    unlinked; readers that have it open keep it
//
// # Segment
//
// All numbers are little-endian. The first page (4096 bytes) holds the header
// twice, at 0 and at 2048, so that one bad sector does not lose it; the rest of
// the page is zero. It is written together with the segment's first records.
//
//	 0  8  "MAILSEG\n"
//	 8  4  format version, 1
//	12  4  segment number
//	16  4  epoch: drawn at random at each start
//	20  4  0
//	24  8  LSN of the first record
//	32  8  LSN of the last record before this segment that was on disk; 0 = none
//	40  8  length of the file while it is written
//	48 12  0
//	60  4  CRC-32C of bytes 0..59
//
// Magic, version and checksum keep their places in all later versions, so that
// any program can refuse what it does not know.
//
// # Record
//
// Records follow each other from offset 4096, each at a multiple of 8.
//
//	 0  4  "MSr1"
//	 4  4  epoch of the segment
//	 8  4  CRC-32C of the segment number (4 bytes), bytes 0..7 and 12..55, and the metadata
//	12  4  CRC-32C of the body (of the file, when it is big)
//	16  8  LSN
//	24  8  durable LSN: the last record that was on disk when this one was written
//	32  8  body id; 0 = none
//	40  8  length of the body, at most 1 MiB unless it is big
//	48  4  length of the metadata, at most 8 MiB
//	52  1  kind
//	53  1  flags: 1 = the body is in the file big/ID
//	54  2  0
//	56     metadata, body unless it is big, zeros up to a multiple of 8
//
// A group is written with one call and followed by zeros up to the end of the
// page, so that the kernel never has to read a page that it is to change.
// Writing a page again must not destroy its older sectors if the power fails:
// that is the one thing that is assumed of the disk.
//
// # Commit
//
// The commit point of a record is the return of the fdatasync of the segment
// it is in. The order is: write, fdatasync, Publish, Wait returns. There is no
// timer; a group is what queued while the last flush ran. The first waiter
// that finds nobody flushing does it for all, and leaves the disk to the next
// one before it publishes. A group that crosses a
// segment's end is written and synced in the old one before anything of it is
// written into the new one. Inside a prepared segment fdatasync changes no
// metadata of the file system, which makes it one flush of the device instead
// of two. If a write or an fdatasync fails, what is on disk is unknown and
// Options.Fatal ends the process.
//
// # Reading
//
// A Cursor reads the records from the segments, in order, as far as they are
// published. It is how the log is its own feed of changes; who reads holds no
// segment back and is told when records went that it had not read.
//
// # What a crash leaves
//
//	while                          is left                        who cleans up
//	a segment is prepared          N.tmp                          Open removes it
//	it is named, not synced        N.tmp or a prepared segment    Open removes or uses it
//	a group is written             any part of it                 Open cuts the segment there
//	the same, first in a segment   no header, or no record        Open: prepared, removed, or set aside
//	a group is flushed, not told   records nobody heard of        Open replays them
//	a segment is cut               full or cut length             Open cuts it
//	a segment is removed           it is or is not there          its caller, who removes it again
//	a big body is written          a file without a record        its caller: Bigs, RemoveBig
//	a big body is removed          it is or is not there          the same
//	Open rewrites, cuts, removes   any part of that done          the next Open, with the same result
//
// # Recovery
//
// Open reads from the segment that holds the first record behind
// Options.Applied. A header of which both copies are lost is made up from the
// records, if they are of the run that wrote a neighbour or the first one is
// whole. It accepts a record if its checksums hold, its epoch is the segment's
// and its LSN is the previous one + 1; a segment may begin with a larger one
// if its header names the last accepted record as the one before.
//
// Where that fails, at LSN k, everything behind it is searched. If k is
// certain to have been on disk (it is applied, or a valid record or header
// behind it, written later, says so), this is damage: it is reported, fenced
// off, and reading goes on behind it. Otherwise it is the remains of a write
// that was never acknowledged, and the log ends there. One case cannot be told
// apart: damage in the last group of all looks like a torn write.
//
// What was accepted is then made durable: records that no later one proves to
// have been on disk are written again and synced, and the segment is cut at
// its end, unless damage was passed over: the proof may stand behind the end,
// and a start after this one needs it too. Only after that comes the replay.
// Every start goes on in a new segment with a new epoch, so remains of an old
// write never validate again. If the caller has applied more than the log
// holds, that is reported and numbering goes on behind it.
package log

// Package deflate is the compression layer of COMPRESS=DEFLATE (RFC 4978): raw
// DEFLATE (RFC 1951) in both directions of a connection that stays open.
//
// Reader hands out whatever the octets that have arrived decode to. The readers of
// compress/flate are made for files and look ahead: after zlib's partial flush,
// which ends a command for some clients, they wait for the next block before they
// hand out the command, and client and server wait for each other.
//
// Both sides hold little while a connection idles: a Reader a window that grows with
// what it has read, up to the 32 KiB of RFC 1951, a Writer nothing.
package deflate

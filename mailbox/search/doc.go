// Package search is the format and the arithmetic of the full-text index: which messages may contain a text. It knows
// neither a database nor a message, only folded texts (message.Fold) and numbers.
//
// A text is taken apart into grams: three characters that follow each other, with a hint of four bits at the fourth. A
// character of a script that writes without spaces counts as three, so that a word of two Chinese characters is found by
// its grams as an English one is. Each gram, together with where it was found (a Scope), is hashed into one of Buckets
// buckets. What contains a needle has all grams of the needle, so a message that lacks one does not contain it; one that
// has all may contain it, and has to be looked at.
//
// A Block holds, for each bucket, the set of up to 1024 messages that have a gram in it. Its bytes:
//
//	0        version, 1
//	1        words: how many times 64 messages the block is about, 1 to 16
//	2        two octets, zero
//	4        CRC-32C of everything behind it
//	8        the messages that the block knows, a bit each, words × 8 octets
//	         those of them that may contain anything, likewise
//	         for each group of 64 buckets: where it begins behind this table, 4 octets; and the end
//	         the groups
//
//	group    which of its buckets have messages, a bit each, 8 octets
//	         for each of these, the length of its set, an unsigned varint
//	         the sets
//
// A set is a string of bits, least significant first: four bits k; one bit, 1 when the messages are those that are not
// listed; then for each message, ascending, its distance from the one before less one as a Rice code: the distance shifted
// right by k as so many zeros and a one, and its k low bits. Zeros fill the last octet. Integers are little-endian. Rice
// codes with k chosen for each set come close to the entropy of what a hash scatters, whether a bucket is rare or common.
package search

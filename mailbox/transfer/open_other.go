//go:build !unix

package transfer

// openNonblock is for systems that have pipes among files.
const openNonblock = 0

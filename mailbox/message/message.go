// Package message reads the structure of a message once, for everybody.
package message

// Index is what one pass over a message found.
type Index struct{}

// View reads a stored Index without copying.
type View struct{}

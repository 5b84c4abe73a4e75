// Package junk judges letters: how probable it is that their reader wants to have nothing to do with them, and why.
//
// A Reader takes a letter apart into features, each hashed to 32 bits: words and pairs of words, what the header says, the
// hosts of links, the structure, and the facts that its caller found out while the letter came in. A Model is a table of
// integer weights for hashed features; there is one for the whole server and one for each account. The score is a logistic
// regression: rules that need no training (rules.go), plus what counting says of the words (counts.go), plus the weights of
// both models, the account's having learned only what the server's did not know.
//
// Learning from a letter adds one and the same integer to the weights of all its features. That integer is the
// Receipt; whoever keeps it can undo the lesson later, in whatever order, and the models are then, bit by bit, the sum
// of their other lessons.
//
// Nothing here touches a disk, a network or a clock. A model is a value with a bounded form in octets ([Model.AppendPart]).
//
// # Memory
//
// All of it stays within 8 MiB: the server's model takes ServerSize (5 MiB), an account's AccountSize (256 KiB), so that
// MaxAccounts (4) of them can be in memory at once (1 MiB), and a Reader less than MaxReader (1 MiB). Callers
// keep to MaxReaders (2) and to MaxAccounts models, and drop the one that was unused for longest.
package junk

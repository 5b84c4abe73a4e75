// Package training teaches the junk filter what the owners of mailboxes do with their mail, and asks it about new mail.
//
// A Trainer follows the store's feed. What it learns from:
//
//	moved into Junk                             the letter is junk
//	moved out of Junk, but not to Trash         it is good; its author is rescued
//	moved back                                  that lesson is undone, exactly
//	copied, and the source marked \Deleted      as moved
//	$Junk or $NotJunk set, in any spelling      a hint, where the mailbox says otherwise; undone when it is removed
//	answered                                    a hint that it is good
//	sent                                        those it is addressed to are known from then on
//
// Junk is the mailbox with the special use \Junk (RFC 6154), what is below it, and Rejects. Deleting, expunging, moving to Trash and
// moving within Junk teach nothing, nor does mail that arrives, is uploaded, or is restored.
//
// # What is kept, in the room "junk"
//
//	position                     the LSN up to which the feed was read
//	r account body               receipt: what was learned from a letter, by which record
//	j number                     a step that models on disk may lack
//	m account part               a part of a model, with the number of the last step in it; account 0 is the server's
//	c account address            a known correspondent, as the hash of an address
//
// Receipts, steps and the position are written after each look at the feed, in one record; models every six hours where something
// was learned, after a thousand steps, and when the store closes. A start reads the models and repeats the steps that they lack,
// each part by its number, so nothing is learned twice wherever a crash came: a record of the feed that is read again finds
// receipts of its own.
package training

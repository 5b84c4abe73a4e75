// Command mailstead is a personal mail server: SMTP, IMAP, POP3, submission
// and the store behind them, in one binary.
package main

func main() {}

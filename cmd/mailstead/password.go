package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// readPassword asks for a new password twice where somebody sits at a
// terminal, and reads a line of standard input where not.
func readPassword(std streams) (string, error) {
	f, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return readLine(std.in)
	}
	first, err := askPassword(std, f, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := askPassword(std, f, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usage("the two passwords differ")
	}
	return first, nil
}

// readLine reads a password that is the first line of something.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func askPassword(std streams, f *os.File, prompt string) (string, error) {
	fmt.Fprint(std.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(std.err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(b), nil
}

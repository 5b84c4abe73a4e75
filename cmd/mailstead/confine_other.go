//go:build !linux

package main

// noCapabilities has nothing to look for: only Linux has capabilities of processes.
func noCapabilities() error { return nil }

// confine has nothing to do here.
func confine() error { return nil }

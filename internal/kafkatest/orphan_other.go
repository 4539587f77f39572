//go:build !linux

package kafkatest

import "syscall"

// dieWithUs cannot be asked for here: a node whose test was killed goes on.
func dieWithUs() *syscall.SysProcAttr { return nil }

package kafkatest

import "syscall"

// dieWithUs lets the system end a node whose test was killed.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

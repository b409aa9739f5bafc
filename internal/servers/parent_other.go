//go:build !linux

package servers

import "syscall"

// endWithParent does nothing where the kernel cannot: Stop ends the servers.
func endWithParent(*syscall.SysProcAttr) {}

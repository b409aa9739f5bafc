package servers

import "syscall"

// endWithParent lets the kernel end a server whose starter was killed.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

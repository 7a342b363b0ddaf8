"""How the far side of the sandbox ties its programs down: a user and namespaces without rights, limits, and a list of system
calls.

Standard library only: it is imported by the runner, which starts cold. `leave_the_machine` is for the runner, once;
`tie_down` is for each child, last, before it runs what it was given.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import resource
import struct

MEBIBYTE = 1 << 20
NOBODY = 65534
THREADS = 8  # a user namespace counts its own processes; elsewhere others of the user are in the way, and no thread starts

CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
CLONE_THREAD = 0x00010000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
X32 = 0x40000000

# The number of each system call that a computation needs, as (x86-64, arm64). What is not here is refused: opening and naming
# files, sockets, signals to others, new processes, sleeping (which would cost time that no limit on CPU seconds sees).
CALLS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "newfstatat": (262, 79), "lseek": (8, 62),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216), "madvise": (28, 233),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "ioctl": (16, 29), "fcntl": (72, 25), "readv": (19, 65), "writev": (20, 66), "sched_yield": (24, 124),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "getrusage": (98, 165), "times": (100, 153),
    "gettimeofday": (96, 169), "clock_gettime": (228, 113), "clock_getres": (229, 114), "getrandom": (318, 278),
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "restart_syscall": (219, 128),
    "sched_getaffinity": (204, 123), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
CLONE, CLONE3 = (56, 220), (435, 435)
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


def leave_the_machine() -> list[str]:
    """Give up what this process may do to the machine, and name what worked of: "user", "namespaces" (users, network, IPC).

    Root becomes nobody. A kernel, or a container, may forbid new namespaces; the list of system calls holds without them.
    """
    held = []
    filter_code(*MACHINES.get(os.uname().machine, MACHINES["x86_64"]))  # made once, for all children
    if os.geteuid() == 0 and _succeeds(_become_nobody):
        held.append("user")
    if _libc().unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0:
        held.append("namespaces")
    return held


def tie_down(kept: tuple[int, ...], seconds: int, mebibytes: int) -> None:
    """Take everything from this process but its open descriptors 0, 1, 2 and `kept`, CPU seconds and MiB beyond its own size.

    Raises OSError where the kernel has no seccomp, or where the machine is neither x86-64 nor arm64.
    """
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    own = _own_bytes()
    os.closerange(low, 256)
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: own + mebibytes * MEBIBYTE,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: THREADS,
        resource.RLIMIT_NOFILE: 0,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    _refuse_other_calls()


def _refuse_other_calls() -> None:
    """Install the list of system calls, for good: it outlives whatever this process becomes."""
    machine = os.uname().machine
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, "no list of system calls for this machine")
    code = filter_code(*MACHINES[machine])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog, on 64 bits
    libc = _libc()
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


@functools.cache
def filter_code(machine: int, column: int) -> bytes:
    """The list as a program of the kernel's packet filter (struct sock_filter: code, jump if so, jump if not, operand)."""
    numbers = sorted(call[column] for call in CALLS.values())
    tail = [
        (EQUAL, 0, 1, CLONE3[column]),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),  # so that the C library asks by clone, whose flags can be read
        (EQUAL, 0, 2, CLONE[column]),
        (LOAD, 0, 0, 16),  # the low half of the call's first argument
        (ANY_BIT, 1, 0, CLONE_THREAD),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
        (RETURN, 0, 0, ALLOW),
    ]
    allow = len(tail) - 1
    lines = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, machine),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, KILL),
        *((EQUAL, len(numbers) - 1 - index + allow, 0, number) for index, number in enumerate(numbers)),
        *tail,
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _succeeds(step: object) -> bool:
    try:
        step()  # type: ignore[operator]
    except OSError:
        return False
    return True


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _own_bytes() -> int:
    """Address space of this interpreter; 0 where the system does not tell."""
    try:
        # In bytes: a codec is a module, and by now the interpreter may lie in a home that only its owner reads.
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib would double the start-up time
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0

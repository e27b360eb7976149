"""Runs a command as a child that dies with its parent. Started by its path: it imports nothing of ours.

    python -I -S launch.py PARENT_PID MODE COMMAND [ARGUMENT...]

MODE is `same` (the user we are), `namespace` (an ordinary user inside a user namespace of its own, for
programs that refuse root, as PostgreSQL does) or `nobody` (that user of the system, where namespaces are
off). The command replaces this process, so its pid is the one that was started. Exit status 71: the user
could not be changed.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
NOBODY = 65534
CANNOT_CHANGE_USER = 71


def enter_namespace(libc: ctypes.CDLL) -> None:
    """Become `nobody` in a new user namespace; outside of it the files we make still belong to us."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {uid} 1"),
        ("gid_map", f"{NOBODY} {gid} 1"),
    ):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, content.encode())
        os.close(fd)


def main() -> None:
    """Change the user, tie our life to the parent's, become the command."""
    parent, mode, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if mode == "namespace":
            enter_namespace(libc)
        elif mode == "nobody":
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:
        print(f"launch: cannot change the user: {error}", file=sys.stderr)
        sys.exit(CANNOT_CHANGE_USER)
    # After the change of user, which clears it. It stays over the exec.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)
    # A shell that starts us in the background leaves SIGINT ignored, and an ignored signal survives exec.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    # SIGHUP ends no child: a program that makes use of it installs its own handler.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"launch: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()

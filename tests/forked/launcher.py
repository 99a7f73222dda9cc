"""Stands for a process of Python: `python -I -S launcher.py SOCKET -m ih_mcp ...`.

What it imports is built in: `json`, `os`, `signal` and `socket` would take twice as long as Python
takes to start.
"""

import _signal  # type: ignore[import-not-found]  # typeshed has `signal` alone
import _socket
import marshal
import posix
import sys

PASSED_ON = {number: number for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)}
PASSED_ON[_signal.SIGUSR1] = _signal.SIGKILL  # which cannot be passed on; see `kill`


def main() -> None:
    ignored = [number for number in PASSED_ON if _signal.getsignal(number) == _signal.SIG_IGN]
    _signal.pthread_sigmask(_signal.SIG_BLOCK, PASSED_ON)
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link.connect(sys.argv[1])
    request = marshal.dumps(
        {
            "arguments": sys.argv[2:],
            "environment": posix.environ,
            "folder": posix.getcwd(),
            "ignored": ignored,
        }
    )
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)
    link.sendmsg([len(request).to_bytes(4, "big")], [rights])
    link.sendall(request)
    for number in (0, 1, 2):
        posix.close(number)
    pid = told(link)
    for number in set(PASSED_ON).difference(ignored):
        _signal.signal(number, lambda number, _: posix.kill(pid, PASSED_ON[number]))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, PASSED_ON)
    code = told(link)
    if code < 0:
        _signal.signal(-code, _signal.SIG_DFL) if -code != _signal.SIGKILL else None
        posix.kill(posix.getpid(), -code)
    posix._exit(code)


def told(link: _socket.socket) -> int:
    """What the server says; where it is gone, this is no end in order."""
    if len(said := link.recv(4)) < 4:
        posix._exit(255)
    return int.from_bytes(said, "big", signed=True)


main()

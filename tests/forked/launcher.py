"""Stands for a process of Python: `python -I -S launcher.py SOCKET -m ih_mcp ...`."""

import json
import os
import select
import signal
import socket
import sys

PASSED_ON = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    ignored = [number for number in PASSED_ON if signal.getsignal(number) is signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    link = socket.socket(socket.AF_UNIX)
    link.connect(sys.argv[1])
    request = json.dumps(
        {
            "arguments": sys.argv[2:],
            "environment": dict(os.environ),
            "folder": os.getcwd(),  # noqa: PTH109 - this process imports as little as it can
            "ignored": ignored,
        }
    ).encode()
    socket.send_fds(link, [len(request).to_bytes(4, "big")], [0, 1, 2])
    link.sendall(request)
    for number in (0, 1, 2):
        os.close(number)
    pid = int.from_bytes(link.recv(4), "big")
    for number in PASSED_ON.difference(ignored):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)  # a signal that comes just before the wait ends it too
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    watched: list[socket.socket | int] = [link, reader]
    while link not in select.select(watched, [], [])[0]:
        os.read(reader, 64)
    code = int.from_bytes(link.recv(4), "big", signed=True)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()

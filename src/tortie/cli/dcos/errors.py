"""Failures in the words of this command: the text goes to standard error, the exit code is 1."""

from __future__ import annotations

from tortie.cli.dcos.reply import Reply


class DcosError(Exception):
    """`str()` is what a person reads."""


class Unreachable(DcosError):
    """Nobody answers at a URL, or not in time."""


class Refused(DcosError):
    """The server answered with a status that is no success."""

    def __init__(self, reply: Reply, text: str = "") -> None:
        self.reply = reply
        super().__init__(text or f"Error while fetching [{reply.url}]: HTTP {reply.status}: {reply.reason}")


class LoginNeeded(Refused):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, "Authentication failed. Please run `dcos auth login`")


def refusal(reply: Reply) -> Refused:
    """The error for a reply whose status is 400 or more."""
    if reply.status == 401:
        return LoginNeeded(reply)
    if reply.status == 403:
        return Refused(reply, "You are not authorized to perform this operation")
    if reply.status == 400:
        return Refused(reply, "Bad request")
    if reply.status == 422:
        return Refused(reply, f"Error while fetching [{reply.url}]: HTTP {reply.status}: {reply.text()}")
    return Refused(reply)

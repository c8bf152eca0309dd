"""Users as this host knows them."""

from __future__ import annotations

import grp
import os
import pwd

from tortie.base.errors import Invalid
from tortie.mesos.agent.ucr.process import User


def user_of(name: str) -> User:
    """Raises Invalid for a name that this host does not know. No name: the agent's own."""
    if not name:
        return User(uid=os.geteuid(), gid=os.getegid())
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise Invalid(f"No such user '{name}'") from error
    groups = sorted({group.gr_gid for group in grp.getgrall() if name in group.gr_mem} - {entry.pw_gid})
    return User(uid=entry.pw_uid, gid=entry.pw_gid, groups=groups)

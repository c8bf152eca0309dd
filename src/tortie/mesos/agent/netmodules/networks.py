"""A container's way to its network and back, by the two commands of net-modules."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.mesos.agent import namespaces
from tortie.mesos.agent.alone import Alone
from tortie.mesos.agent.invoke import invoke
from tortie.mesos.agent.netmodules import messages
from tortie.mesos.agent.netmodules.kept import Kept, Record
from tortie.mesos.agent.netmodules.messages import Asked
from tortie.mesos.agent.netmodules.modules import Commands
from tortie.mesos.agent.networks import Joined, Wish, about
from tortie.wire.netmodules import NO_ENDPOINT

log = logging.getLogger("agent")
PATIENCE = 60.0
"""The original gives an executor as long to register, and takes all of it down then."""


def present(commands: Commands) -> Commands | None:
    """None, and a warning, when one of the programs is not there: as in the original, net-modules rest then."""
    missing = [command[0] for command in (commands.ipam, commands.isolator) if not os.path.exists(command[0])]
    for program in dict.fromkeys(missing):
        log.warning("net-modules are inactive, tasks have the host's network: %s does not exist", program)
    return None if missing else commands


class NetModulesNetworks:
    """The Networks of tasks that ask for a network without naming one. `hostname`: as frameworks know this agent;
    `root`: where everything is kept; `patience`: how long a command has for an answer."""

    def __init__(self, commands: Commands, hostname: str, root: Path, *, patience: float = PATIENCE) -> None:
        self.commands = commands
        self.hostname = hostname
        self.patience = patience
        self._kept = Kept(root)
        self._busy: dict[str, anyio.Lock] = {}

    def check(self, wish: Wish) -> None:
        messages.asked(wish.network_infos)

    # -- join ----------------------------------------------------------------------------------------------------------

    async def join(self, wish: Wish) -> Joined:
        asking = messages.asked(wish.network_infos)
        container_id = wish.container_id
        async with Alone(self._busy, container_id):
            await self._leave(container_id)
            record = Record(
                uid=str(uuid.uuid4()),
                info=asking.info,
                labels=messages.labels_of(asking.info, wish.task),
                about=about(wish),
            )
            async with self._undone_if_it_fails(container_id):
                self._kept.keep(container_id, record)
                await anyio.to_thread.run_sync(namespaces.make, self._kept.namespace(container_id))
                record.addresses = await self._addresses(container_id, record, asking)
                self._kept.keep(container_id, record)
            return self._shown(container_id, record)

    async def _addresses(self, container_id: str, record: Record, asking: Asked) -> list[str]:
        """The named ones first."""
        if asking.named:
            request = messages.reserve(self.hostname, record.uid, asking, record.labels)
            await self._ask(self.commands.ipam, container_id, request)
        if not asking.automatic:
            return list(asking.named)
        request = messages.allocate(self.hostname, record.uid, asking, record.labels)
        answer = await self._ask(self.commands.ipam, container_id, request)
        return [*asking.named, *messages.read_allocated(self.commands.ipam[0], answer)]

    # -- isolate -------------------------------------------------------------------------------------------------------

    async def isolate(self, container_id: str, pid: int) -> None:
        async with Alone(self._busy, container_id):
            record = self._kept.record(container_id)
            if record is None or record.addresses is None:
                raise Unavailable(f"container {container_id} has not joined its network")
            request = messages.isolate(
                self.hostname, container_id, pid, record.addresses, record.info, record.labels, record.about
            )
            async with self._undone_if_it_fails(container_id):
                await self._ask(self.commands.isolator, container_id, request)

    # -- leave ---------------------------------------------------------------------------------------------------------

    async def leave(self, container_id: str) -> None:
        async with Alone(self._busy, container_id):
            await self._leave(container_id)

    async def _leave(self, container_id: str) -> None:
        """Addresses, then the network, both in any case; what has been given back is not given back twice."""
        record = self._kept.record(container_id)
        failures = [] if record is None else await self._give_back(container_id, record)
        if failures:
            raise Unavailable("; ".join(map(str, failures)))
        await anyio.to_thread.run_sync(self._kept.forget, container_id)

    async def _give_back(self, container_id: str, record: Record) -> list[TortieError]:
        failures: list[TortieError] = []
        for name, call in (("released", self._release), ("cleaned", self._clean)):
            if getattr(record, name):
                continue
            try:
                await call(container_id, record)
                setattr(record, name, True)
                self._kept.keep(container_id, record)
            except TortieError as error:
                failures.append(error)
        return failures

    async def _release(self, container_id: str, record: Record) -> None:
        known = record.addresses
        request = messages.release_uid(record.uid) if known is None else messages.release(known)
        await self._ask(self.commands.ipam, container_id, request)

    async def _clean(self, container_id: str, record: Record) -> None:
        if record.addresses is None:
            return  # it has not come as far as a network
        try:
            await self._ask(self.commands.isolator, container_id, messages.cleanup(self.hostname, container_id))
        except Invalid as error:
            if NO_ENDPOINT not in str(error):
                raise

    @asynccontextmanager
    async def _undone_if_it_fails(self, container_id: str) -> AsyncIterator[None]:
        """What cannot be undone now is kept: `leave` tries it again."""
        try:
            yield
        except BaseException:
            with anyio.CancelScope(shield=True):
                try:
                    await self._leave(container_id)
                except TortieError as failure:
                    log.warning("container %s has not left its network yet: %s", container_id, failure)
            raise

    # -- all -----------------------------------------------------------------------------------------------------------

    async def _ask(self, command: Sequence[str], container_id: str, request: bytes) -> Mapping[str, Any]:
        """Raises Unavailable when it cannot be asked, Invalid when it refuses or makes no sense."""
        program, *arguments = command
        path = self._kept.request(container_id, request)
        try:
            outcome = await invoke(
                program, os.environ, path, self.patience, arguments=arguments, largest=messages.LARGEST
            )
        except Unavailable as error:
            raise Unavailable(f"{program}: {error}") from error
        if outcome.stderr.strip():
            log.info("%s: %s", program, outcome.stderr[:2000].decode(errors="replace").strip())
        return messages.read_answer(program, outcome.stdout)

    def _shown(self, container_id: str, record: Record) -> Joined:
        assert record.addresses is not None
        return Joined(
            namespace=str(self._kept.namespace(container_id)),
            infos=[messages.shown(record.info, record.addresses)],
            environment={"LIBPROCESS_IP": record.addresses[0]},
        )

    def joined(self, container_id: str) -> Joined | None:
        record = self._kept.record(container_id)
        return None if record is None or record.addresses is None else self._shown(container_id, record)

    def keeps(self, container_id: str) -> bool:
        return self._kept.has(container_id)

    def kept(self) -> Sequence[str]:
        return self._kept.containers()

"""A container's way to its networks and back, by the plug-ins that their configurations name."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tortie.base.errors import Invalid, TortieError, Unavailable
from tortie.mesos.agent import namespaces
from tortie.mesos.agent.alone import Alone
from tortie.mesos.agent.cni import files, results
from tortie.mesos.agent.cni.configuration import Network, environment, parse, request
from tortie.mesos.agent.cni.directory import Directory
from tortie.mesos.agent.cni.kept import Attachment, Kept
from tortie.mesos.agent.cni.results import Result
from tortie.mesos.agent.invoke import Outcome, invoke
from tortie.mesos.agent.networks import Joined, Wish, about
from tortie.wire import mesos as wire

log = logging.getLogger("agent")
PATIENCE = 60.0
"""The original gives an executor as long to register, and takes all of it down then."""
LEAVING = 20.0
"""Less: the end of its task is not told before. What takes longer is tried again."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CniNetworks:
    """The Networks of tasks that name some. `root`: where everything about them is kept; `owner`: the agent, which
    leaves those of others there alone; `patience`: how long a plug-in has for an answer."""

    def __init__(self, directory: Directory, root: Path, owner: str = "", *, patience: float = PATIENCE) -> None:
        self.directory = directory
        self.patience = patience
        self._kept = Kept(root, owner)
        self._path = os.environ.get("PATH") or PATH
        self._busy: dict[str, anyio.Lock] = {}

    def check(self, wish: Wish) -> None:
        self._plan(wish)

    def _plan(self, wish: Wish) -> list[tuple[Attachment, Network, bytes]]:
        """Everything that can be refused, before anything is done."""
        files.hostname(wish.hostname, wish.container_id)
        planned: list[tuple[Attachment, Network, bytes]] = []
        for info in named(wish.network_infos):
            assert info.name is not None
            if any(network.name == info.name for _, network, _ in planned):
                raise Invalid(f"Attempted to join CNI network '{info.name}' multiple times")
            network = self.directory.network(info.name)
            place = Attachment(self._kept.home(wish.container_id) / network.name, f"eth{len(planned)}")
            planned.append((place, network, request(network, info, about(wish))))
        return planned

    # -- join ----------------------------------------------------------------------------------------------------------

    async def join(self, wish: Wish) -> Joined:
        planned = self._plan(wish)
        async with self._alone(wish.container_id):
            await self._leave(wish.container_id)
            try:
                self._kept.begin(wish.container_id)
                for place, _, document in planned:
                    place.begin(document)
                await anyio.to_thread.run_sync(namespaces.make, self._kept.namespace(wish.container_id))
                found = await _together([partial(self._attach, wish.container_id, place) for place, _, _ in planned])
                self._complete(wish, found)
                return self._joined(wish.container_id)
            except BaseException as error:
                with anyio.CancelScope(shield=True):
                    await self._undo(wish.container_id)
                if isinstance(error, OSError):
                    raise Unavailable(f"CNI networks of container {wish.container_id}: {error}") from error
                raise

    def _joined(self, container_id: str) -> Joined:
        found = self._kept.joined(container_id)
        assert found is not None
        return found

    async def _attach(self, container_id: str, place: Attachment) -> Result:
        plugin = self._plugin(place)
        failed = f"The CNI plugin '{plugin}' failed to attach container {container_id} to CNI network '{place.network}'"
        try:
            outcome = await self._ask("ADD", plugin, container_id, place)
        except Unavailable as error:
            raise Unavailable(f"{failed}: {error}") from error
        if outcome.status:
            raise Unavailable(f"{failed}: {outcome.quoted()}")
        try:
            found = results.parse(outcome.stdout)
        except Invalid as error:
            text = f"Failed to parse the output of the CNI plugin '{plugin}': {error}: {outcome.quoted()}"
            raise Unavailable(text) from error
        place.answer.write_bytes(outcome.stdout)
        return found

    def _complete(self, wish: Wish, found: Sequence[Result]) -> None:
        name = files.hostname(wish.hostname, wish.container_id)
        try:
            of_host = Path("/etc/resolv.conf").read_text(errors="replace")
        except OSError:
            of_host = ""
        texts = {
            "hostname": f"{name}\n",
            "hosts": files.hosts(name, found),
            "resolv.conf": files.resolv_conf(found, of_host),
        }
        self._kept.complete(wish.container_id, texts)

    async def _undo(self, container_id: str) -> None:
        try:
            await self._leave(container_id)
        except TortieError as error:
            log.warning("%s; it will be tried again", error)

    async def isolate(self, container_id: str, pid: int) -> None:
        """Nothing: the namespace was there before its first process."""

    # -- leave ---------------------------------------------------------------------------------------------------------

    async def leave(self, container_id: str) -> None:
        async with self._alone(container_id):
            await self._leave(container_id)

    async def _leave(self, container_id: str) -> None:
        places = self._kept.attachments(container_id)
        await _together([partial(self._detach, container_id, place) for place in places])
        try:
            await anyio.to_thread.run_sync(self._kept.forget, container_id)
        except OSError as error:
            raise Unavailable(f"CNI networks of container {container_id}: {error}") from error

    async def _detach(self, container_id: str, place: Attachment) -> None:
        plugin = self._plugin(place)
        failed = (
            f"The CNI plugin '{plugin}' failed to detach container {container_id} from CNI network '{place.network}'"
        )
        try:
            outcome = await self._ask("DEL", plugin, container_id, place)
        except Unavailable as error:
            raise Unavailable(f"{failed}: {error}") from error
        if outcome.status:
            raise Unavailable(f"{failed}: {outcome.quoted()}")
        place.forget()

    # -- both ----------------------------------------------------------------------------------------------------------

    def _plugin(self, place: Attachment) -> str:
        """Of what was kept when it was asked first, whatever the network's file says by now."""
        try:
            return self.directory.program(parse(place.request.read_bytes()).type)
        except (OSError, TortieError) as error:
            raise Unavailable(f"CNI network '{place.network}' as kept in {place.request}: {error}") from error

    async def _ask(self, command: str, plugin: str, container_id: str, place: Attachment) -> Outcome:
        handle = self._kept.namespace(container_id)
        given = environment(
            command,
            container_id,
            place.interface,
            str(handle) if namespaces.is_namespace(handle) else "",
            path=self._path,
            plugins=self.directory.plugins_dir,
        )
        patience = min(self.patience, LEAVING) if command == "DEL" else self.patience
        return await invoke(plugin, given, place.request, patience)

    def joined(self, container_id: str) -> Joined | None:
        return self._kept.joined(container_id)

    def keeps(self, container_id: str) -> bool:
        return self._kept.has(container_id)

    def kept(self) -> Sequence[str]:
        return self._kept.containers()

    def _alone(self, container_id: str) -> Alone:
        return Alone(self._busy, container_id)


def named(infos: Sequence[wire.NetworkInfo]) -> list[wire.NetworkInfo]:
    """Those that CNI is for; the others do not count."""
    return [info for info in infos if info.name]


async def _together(asked: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All at once and each to its end; then the first failure in their order is raised."""
    done: list[Any] = [None] * len(asked)

    async def one(place: int) -> None:
        try:
            done[place] = await asked[place]()
        except OSError as error:
            done[place] = Unavailable(f"CNI: {error}")
        except TortieError as error:
            done[place] = error

    async with anyio.create_task_group() as group:
        for place in range(len(asked)):
            group.start_soon(one, place)
    for result in done:
        if isinstance(result, TortieError):
            raise result
    return done

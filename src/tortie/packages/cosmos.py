"""What Cosmos does: packages found, rendered, installed, updated, uninstalled. Each call answers with a body."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from tortie.base.errors import Conflict, Invalid, NotFound, Unavailable
from tortie.packages import failures, forms, requests
from tortie.packages.apps import (
    NOTHING,
    SOURCE,
    Installed,
    app_of,
    canonical,
    installed,
    resolve,
    to_be_asked,
    users_of,
)
from tortie.packages.definition import Package, read_entry
from tortie.packages.failures import CosmosError
from tortie.packages.forms import Body
from tortie.packages.frameworks import Frameworks
from tortie.packages.options import idle_defaults, merge
from tortie.packages.parting import Parting
from tortie.packages.repositories import Repositories
from tortie.packages.universe import Found, Repository, Universe
from tortie.wire.marathon import MarathonClient, Rejected

log = logging.getLogger("packages")
GONE_SECONDS, LOOK_SECONDS = 30.0, 0.2
"""How long to wait for an app's end before its uninstallation is answered, and between looks."""


class Cosmos:
    """Raises CosmosError only. Nothing is kept here: what is installed is read from the labels of Marathon's apps."""

    def __init__(
        self,
        repositories: Repositories,
        marathon: MarathonClient,
        frameworks: Frameworks,
        parting: Parting,
        site: Mapping[str, Mapping[str, Any]] = NOTHING,
    ) -> None:
        self.repositories = repositories
        self.marathon = marathon
        self.frameworks = frameworks
        self.parting = parting
        self.site = site
        self._site_read = False

    async def _universe(self) -> Universe:
        """Everything that there is; what of the cluster's defaults has no effect is logged once."""
        universe = await self.repositories.universe()
        if not self._site_read:
            self._site_read = True
            newest = [found for name in universe.names() if (found := universe.find(name)) is not None]
            for line in idle_defaults({one.package.name: one.package.config for one in newest}, self.site):
                log.warning("defaults: %s", line)
        return universe

    async def search(self, asked: requests.Search, version: int) -> Body:
        universe = await self._universe()
        return {"packages": [forms.search_result(universe, one) for one in universe.search(asked.query)]}

    async def describe(self, asked: requests.Describe, version: int) -> Body:
        found = await self._find(asked.package_name, asked.package_version)
        entry = found.package.entry()
        if version == 3:
            return {"package": entry}
        return entry if version == 2 else forms.first_form(found.package)

    async def list_versions(self, asked: requests.ListVersions, version: int) -> Body:
        universe = await self._universe()
        if not universe.has(asked.package_name):
            raise failures.package_not_found(asked.package_name)
        return {"results": universe.versions(asked.package_name)}

    async def render(self, asked: requests.Render, version: int) -> Body:
        found = await self._find(asked.package_name, asked.package_version)
        return {"marathonJson": self._app_of(found, asked.options or {}, asked.app_id)}

    async def install(self, asked: requests.Install, version: int) -> Body:
        found = await self._find(asked.package_name, asked.package_version)
        package = found.package
        answer: Body = {"packageName": package.name, "packageVersion": package.version}
        if package.manager is not None:
            raise failures.managed(package.name, package.version, package.manager)
        if package.template is not None:
            app = self._app_of(found, asked.options or {}, asked.app_id)
            answer["appId"] = await self._post(app)
        elif version == 1:
            raise failures.no_template(package.name, package.version)
        if version == 1:
            return answer
        notes = package.fields.get("postInstallNotes")
        cli = (package.resource or {}).get("cli")
        return {**answer, **({"postInstallNotes": notes} if notes else {}), **({"cli": cli} if cli else {})}

    async def _post(self, app: Mapping[str, Any]) -> str:
        try:
            await self.marathon.post_app(app)
        except Conflict as error:
            raise failures.already_installed() from error
        except Rejected as error:
            raise failures.marathon_refused(error.status, str(error), error.details) from error
        except NotFound as error:
            raise failures.marathon_refused(404, str(error)) from error
        except Unavailable as error:
            raise failures.marathon_away(str(error)) from error
        return canonical(str(app.get("id", "")))

    async def list_installed(self, asked: requests.ListInstalled, version: int) -> Body:
        app = canonical(asked.app_id) if asked.app_id is not None else None
        found = [
            one for one in await self._installed() if asked.package_name in (None, one.name) and app in (None, one.app)
        ]
        return {"packages": [forms.installed_result(one) for one in found]}

    async def uninstall(self, asked: requests.Uninstall, version: int) -> Body:
        everything = await self._installed()
        doomed = _doomed(asked, everything)
        others = [one for one in everything if one not in doomed]
        if not asked.force and (users := users_of(doomed, others)):
            raise failures.needed_by(asked.package_name, users)
        for apps in to_be_asked(doomed, others):
            await self.parting.ask(apps, force=asked.force)
        for one in doomed:
            await self._delete(one.app)
        for one in doomed:
            await self._tear_down(one, others)
        for one in doomed:
            await self._gone(one.app)
        return {"results": [forms.farewell(one) for one in doomed]}

    async def _delete(self, app: str) -> None:
        """Before its framework is torn down, so that nothing starts that again."""
        try:
            await self.marathon.delete_app(app, force=True)
        except NotFound:
            pass  # another was quicker; its framework may be left all the same
        except (Rejected, Conflict) as error:
            raise failures.marathon_refused(getattr(error, "status", 409), str(error)) from error
        except Unavailable as error:
            raise failures.marathon_away(str(error)) from error

    async def _gone(self, app: str) -> None:
        """Until Marathon has ended the app, so that the same can be installed again at once. One whose task takes
        longer, or a Marathon that is away, keeps nobody waiting: it is told to end."""
        try:
            async with asyncio.timeout(GONE_SECONDS):
                while True:
                    await self.marathon.app(app)
                    await asyncio.sleep(LOOK_SECONDS)
        except (NotFound, Rejected, Unavailable, TimeoutError):
            return

    async def _tear_down(self, one: Installed, others: list[Installed]) -> None:
        if not one.framework:
            return
        try:
            ids = await self.frameworks.named(one.framework)
            if len(ids) > 1:
                raise failures.several_frameworks(one.name, one.version, one.framework, ids)
            if any(other.framework == one.framework for other in others):
                return  # the one that there is may be theirs
            for framework in ids:
                await self.frameworks.tear_down(framework)
        except Unavailable as error:
            raise failures.incomplete_uninstall(one.name, str(error)) from error

    async def repository_add(self, asked: requests.RepositoryAdd, version: int) -> Body:
        return forms.listed(await self.repositories.add(Repository(asked.name, asked.uri), asked.place()))

    async def repository_delete(self, asked: requests.RepositoryDelete, version: int) -> Body:
        return forms.listed(await self.repositories.delete(asked.name, asked.uri))

    async def repository_list(self, asked: requests.Nothing, version: int) -> Body:
        return forms.listed(await self.repositories.listed())

    async def service_describe(self, asked: requests.ServiceDescribe, version: int) -> Body:
        one = await self._app(asked.app_id)
        definition, options = one.definition(), one.options()
        up, down = _ways(await self._universe(), one)
        answer: Body = {"package": definition, "upgradesTo": up, "downgradesTo": down, "userProvidedOptions": options}
        config = definition.get("config")
        if isinstance(config, Mapping):
            answer["resolvedOptions"] = resolve(Package(definition, 0, config=config), options, self._site(one.name))
        return answer

    async def service_update(self, asked: requests.ServiceUpdate, version: int) -> Body:
        """The app rendered anew: with options merged into those of before (or in their place), or another version."""
        one = await self._app(asked.app_id)
        if asked.package_name not in (None, one.name):
            raise failures.not_installed(str(asked.package_name), one.app)
        wanted = asked.package_version or one.version
        found = _as_installed(one) if wanted == one.version else await self._way(one, wanted)
        if found is None:
            found = await self._find(one.name, wanted)
        given = (asked.options or {}) if asked.replace else merge(one.options(), asked.options or {})
        app = self._app_of(found, given, one.app)
        before, after = _own_id(found, one.options()), _own_id(found, given)
        if None not in (before, after) and before != after:
            raise failures.app_id_changed(one.app, str(after))
        deployment = await self._put(one.app, app, force=asked.force)
        answer = {"package": found.package.entry(), "marathonDeploymentId": deployment}
        return {**answer, "resolvedOptions": resolve(found.package, given, self._site(one.name))}

    async def _way(self, one: Installed, wanted: str) -> Found | None:
        """Another version of an installed package, if it may be gone to. Raises CosmosError when it may not."""
        universe = await self._universe()
        up, down = _ways(universe, one)
        if wanted not in (*up, *down):
            raise failures.bad_update(one.version, wanted, [*up, *down])
        return universe.find(one.name, wanted)

    async def _put(self, app_id: str, app: Mapping[str, Any], *, force: bool) -> str:
        try:
            return (await self.marathon.put_app(app_id, app, force=force)).deployment_id
        except Rejected as error:
            raise failures.marathon_refused(error.status, str(error), error.details) from error
        except (Conflict, NotFound) as error:
            raise failures.marathon_refused(409 if isinstance(error, Conflict) else 404, str(error)) from error
        except Unavailable as error:
            raise failures.marathon_away(str(error)) from error

    def _app_of(self, found: Found, given: Mapping[str, Any], app_id: str | None) -> dict[str, Any]:
        return app_of(found, given, app_id, self._site(found.package.name))

    def _site(self, package: str) -> Mapping[str, Any]:
        """What an operator wants instead of this package's own defaults."""
        return self.site.get(package, NOTHING)

    async def _find(self, name: str, version: str | None) -> Found:
        universe = await self._universe()
        found = universe.find(name, version)
        if found is None and version is not None and universe.has(name):
            raise failures.version_not_found(name, version)
        if found is None:
            raise failures.package_not_found(name)
        return found

    async def _app(self, app_id: str) -> Installed:
        app = canonical(app_id)
        found = next((one for one in await self._installed() if one.app == app), None)
        if found is None:
            raise failures.app_not_found(app_id)
        return found

    async def _installed(self) -> list[Installed]:
        """By name, then by app."""
        try:
            apps, _ = await self.marathon.apps(())
        except (Unavailable, NotFound, Rejected, Conflict) as error:
            raise failures.marathon_away(str(error)) from error
        found = [one for app in apps if (one := installed(app.id, app.labels)) is not None]
        return sorted(found, key=lambda one: (one.name, one.app))


def _doomed(asked: requests.Uninstall, everything: list[Installed]) -> list[Installed]:
    named = [one for one in everything if one.name == asked.package_name]
    if asked.app_id is not None:
        app = canonical(asked.app_id)
        named = [one for one in named if one.app == app]
        if not named:
            raise failures.not_installed(asked.package_name, app)
    elif not named:
        raise failures.not_installed(asked.package_name)
    elif len(named) > 1 and not asked.all:
        raise failures.ambiguous(asked.package_name, [one.app for one in named])
    return named


def _as_installed(one: Installed) -> Found | None:
    """The package as its app's labels have it: no repository need have it any more. None when they do not."""
    try:
        return Found(read_entry(one.definition()), Repository("", one.labels.get(SOURCE, "")))
    except Invalid:
        return None


def _own_id(found: Found, given: Mapping[str, Any]) -> str | None:
    """The id that the template makes of these options; None when it cannot be said."""
    try:
        return canonical(str(app_of(found, given).get("id", "")))
    except CosmosError:
        return None


def _ways(universe: Universe, one: Installed) -> tuple[list[str], list[str]]:
    """The versions that an installed package may go up to, and down to, newest first."""
    up, down = [], []
    back = one.definition().get("downgradesTo") or []
    for version in universe.versions(one.name):
        found = universe.find(one.name, version)
        if found is None or version == one.version:
            continue
        if _may(found.package.fields.get("upgradesFrom"), one.version):
            up.append(version)
        elif _may(back, version):
            down.append(version)
    return up, down


def _may(versions: Any, version: str) -> bool:
    return isinstance(versions, list) and (version in versions or "*" in versions)

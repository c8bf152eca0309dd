"""What Cosmos says when something cannot be done: a type, a status, a message, and data that clients read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tortie.base.errors import TortieError


class CosmosError(TortieError):
    """`kind` is the type in the answer's body. Made by the functions below only."""

    def __init__(self, kind: str, message: str, data: Mapping[str, Any] | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.data = data
        self.status = status

    def body(self) -> dict[str, Any]:
        return {"type": self.kind, "message": str(self), **({} if self.data is None else {"data": dict(self.data)})}


def package_not_found(name: str) -> CosmosError:
    return CosmosError("PackageNotFound", f"Package [{name}] not found", {"packageName": name})


def version_not_found(name: str, version: str) -> CosmosError:
    data = {"packageName": name, "packageVersion": version}
    return CosmosError("VersionNotFound", f"Version [{version}] of package [{name}] not found", data)


def already_installed() -> CosmosError:
    return CosmosError("PackageAlreadyInstalled", "Package is already installed", status=409)


def not_installed(name: str, app: str | None = None) -> CosmosError:
    if app is None:
        return CosmosError("PackageNotInstalled", f"Package [{name}] is not installed", {"packageName": name})
    data = {"packageName": name, "appId": app}
    return CosmosError("UninstallNonExistentAppForPackage", f"Package [{name}] with id [{app}] is not installed", data)


def ambiguous(name: str, apps: Sequence[str]) -> CosmosError:
    text = f"Multiple apps named [{name}] are installed: [{', '.join(apps)}]"
    return CosmosError("AmbiguousAppId", text, {"packageName": name, "appIds": list(apps)})


def needed_by(name: str, apps: Sequence[str]) -> CosmosError:
    """Ours: another installed package says that it needs this one."""
    text = f"Package [{name}] is needed by [{', '.join(apps)}]: uninstall that first, or uninstall with force"
    return CosmosError("PackageInUse", text, {"packageName": name, "appIds": list(apps)}, 409)


def uninstall_under_way(name: str, message: str) -> CosmosError:
    """Ours: ask again."""
    return CosmosError(
        "UninstallUnderWay", f"Package [{name}] is being taken out: {message}", {"packageName": name}, 409
    )


def uninstall_refused(name: str, message: str) -> CosmosError:
    """Ours: the app itself says no."""
    return CosmosError("UninstallRefused", f"Package [{name}] stays: {message}", {"packageName": name}, 409)


def several_frameworks(name: str, version: str, framework: str, ids: Sequence[str]) -> CosmosError:
    text = (
        f"Uninstalled package [{name}] version [{version}]\n"
        f"Unable to shutdown [{name}] service framework with name [{framework}] because there are multiple framework "
        f"ids matching this name: [{', '.join(ids)}]"
    )
    data = {"packageName": name, "packageVersion": version, "frameworkName": framework, "frameworkIds": list(ids)}
    return CosmosError("MultipleFrameworkIds", text, data)


def incomplete_uninstall(name: str, why: str) -> CosmosError:
    text = f"Incomplete uninstall of package [{name}]: its app is gone, its framework may not be: {why}"
    return CosmosError("IncompleteUninstall", text, {"packageName": name}, 503)


def options_mismatch(errors: Sequence[Mapping[str, Any]]) -> CosmosError:
    return CosmosError(
        "JsonSchemaMismatch", "Options JSON failed validation", {"errors": [dict(one) for one in errors]}
    )


def options_not_allowed() -> CosmosError:
    return CosmosError("OptionsNotAllowed", "No schema available to validate the provided options")


def no_template(name: str, version: str) -> CosmosError:
    text = f"Package: [{name}] version: [{version}] does not have a Marathon template defined and can not be rendered"
    data = {"packageName": name, "packageVersion": version}
    return CosmosError("ServiceMarathonTemplateNotFound", text, data)


def managed(name: str, version: str, manager: str) -> CosmosError:
    text = f"Package [{name}] version [{version}] is installed by the service of package [{manager}], not by this one"
    return CosmosError("CustomPackageManagerNotFound", text, {"managerId": manager})


def template_unusable(name: str, version: str, why: str) -> CosmosError:
    text = f"Package: [{name}] version: [{version}]: its Marathon template cannot be rendered: {why}"
    return CosmosError("MarathonTemplateMustBeJsonObject", text, {"packageName": name, "packageVersion": version})


def app_not_found(app: str) -> CosmosError:
    return CosmosError("MarathonAppNotFound", f"Unable to locate service with marathon appId: '{app}'", {"appId": app})


def app_id_changed(app: str, rendered: str) -> CosmosError:
    text = f"The options would change the app's id from [{app}] to [{rendered}]"
    return CosmosError("AppIdChanged", text, {"appId": app, "renderedAppId": rendered})


def bad_update(current: str, wanted: str, known: Sequence[str]) -> CosmosError:
    there = f"from here there is a way to [{', '.join(known)}]" if known else "from here there is no way to another"
    text = f"Version [{current}] cannot be updated to [{wanted}]: {there}"
    data = {"currentVersion": current, "updateVersion": wanted, "validVersions": list(known)}
    return CosmosError("BadVersionUpdate", text, data)


def marathon_refused(status: int, message: str, details: Sequence[Any] = ()) -> CosmosError:
    data = {"marathonStatus": status, "errors": list(details)}
    return CosmosError("MarathonBadResponse", message, data)


def marathon_away(why: str) -> CosmosError:
    return CosmosError("MarathonBadGateway", f"Received response status code from Marathon: {why}", status=502)


def unavailable(service: str, why: str) -> CosmosError:
    text = f"Unable to complete request due to downstream service [{service}] unavailability: {why}"
    return CosmosError("ServiceUnavailable", text, {"serviceName": service}, 503)


def repository_present(*, name: str | None, uri: str | None) -> CosmosError:
    if name is not None and uri is not None:
        text = f"Repository name [{name}] and URI [{uri}] are both already present in the list"
    elif name is not None:
        text = f"Repository name [{name}] is already present in the list"
    else:
        text = f"Repository URI [{uri}] is already present in the list"
    return CosmosError("RepositoryAlreadyPresent", text, _named(name, uri))


def repository_absent(*, name: str | None, uri: str | None) -> CosmosError:
    if name is not None and uri is not None:
        text = f"Neither repository name [{name}] nor URI [{uri}] are present in the list"
    elif name is not None:
        text = f"Repository name [{name}] is not present in the list"
    else:
        text = f"Repository URI [{uri}] is not present in the list"
    return CosmosError("RepositoryNotPresent", text, _named(name, uri))


def repository_unnamed() -> CosmosError:
    return CosmosError("RepoNameOrUriMissing", "Must specify either the name or URI of the repository")


def index_out_of_bounds(index: int, most: int) -> CosmosError:
    allowed = f"between 0 and {most} inclusive" if most else "at most 0"
    text = f"Index ({index}) is out of range. Index value {'must' if most else 'can'} be {allowed}."
    return CosmosError("RepositoryAddIndexOutOfBounds", text, {"attempted": index, "max": most})


def uri_scheme(uri: str) -> CosmosError:
    text = f"Repository URI [{uri}] uses an unsupported scheme. Only http and https are supported"
    return CosmosError("UnsupportedRepositoryUri", text, {"uri": uri})


def uri_syntax(name: str, uri: str) -> CosmosError:
    text = f"URI for repository [{name}] has invalid syntax: {uri}"
    return CosmosError("RepositoryUriSyntax", text, {"repository": {"name": name, "uri": uri}})


def uri_unreachable(name: str, uri: str, why: str) -> CosmosError:
    """`why` is data, not text: clients show the original's words."""
    text = f"Could not access data at URI for repository [{name}]: {uri}"
    return CosmosError("RepositoryUriConnection", text, {"repository": {"name": name, "uri": uri}, "cause": why})


def repository_answer(name: str, uri: str, code: int, *, adding: bool) -> CosmosError:
    text = f"Unexpected upstream http error while fetching repository '{name}' at {uri}: GET {code}"
    data = {"destination": uri, "httpCode": code}
    return CosmosError("UniverseClientHttpError", text, data, 400 if adding else 500)


def repository_refused(name: str, uri: str, why: str) -> CosmosError:
    """What the repository gave is not to be believed: ours, since the original believed everything."""
    text = f"Repository [{name}] at {uri} is refused: {why}"
    return CosmosError("RepositoryRefused", text, {"repository": {"name": name, "uri": uri}, "cause": why})


def concurrent_access() -> CosmosError:
    text = "The list of repositories was changed by another at the same time: try again"
    return CosmosError("ConcurrentAccess", text, status=409)


def forbidden_resource(url: str) -> CosmosError:
    text = f"Unable to complete request: {url} is not named by any package"
    return CosmosError("Forbidden", text, {"url": url}, 403)


def bad_json(what: str, reason: str, path: str | None = None) -> CosmosError:
    """`what` is parse (no JSON) or decode (other JSON than the request wants, at `path`)."""
    if what == "parse":
        return CosmosError("json_error", f"Json parsing failure '{reason}'", {"type": "parse", "reason": reason})
    data = {"type": "decode", "reason": reason, "path": path or ""}
    return CosmosError("json_error", f"Json decoding failure '{reason}' at: {path}", data)


def _named(name: str | None, uri: str | None) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("uri", uri)) if value is not None}

"""`dcos package install`, `uninstall`, `update`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from tortie.cli.dcos import package_commands, package_options
from tortie.cli.dcos.errors import DcosError
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.package_client import CosmosRefused, call
from tortie.cli.dcos.package_looking import definition
from tortie.cli.dcos.session import Session, say, tell

TRIES = 3
AGAIN_SECONDS = 1.0
UPDATE_ALONE = (
    "This command has been deprecated. Repositories will be automatically updated after they are added by "
    "`dcos package repo add`"
)
WARNING = (
    "WARNING: This action cannot be undone. This will uninstall [{}] and delete all of its persistent data (logs, "
    "configurations, database artifacts, everything)."
)


def install(session: Session, line: Line) -> int:
    name, app_id = line.need("<package-name>"), line.value("--app-id")
    wants_app, wants_cli = not line.has("--cli"), not line.has("--app")
    if app_id is not None and not wants_app:
        raise DcosError("--app-id is of the app: --cli installs none")
    patience = _patience(line)
    options = package_options.read(line.value("--options"))
    package = definition(session, name, line.value("--package-version"))
    version = str(package.get("version"))
    app = wants_app and package.get("marathon") is not None
    if wants_app and package.get("preInstallNotes"):
        say(str(package["preInstallNotes"]))
        if not line.has("--yes") and not _agreed():
            say("Exiting installation.")
            return 1
    programs = package_commands.fetch(session, package) if wants_cli else None  # the app waits for what may fail
    if line.has("--cli") and programs is None:
        raise DcosError(f"Package [{name}] brings no command")
    if app:
        package_options.warn(package.get("config"), options)
        asked = {"packageName": name, "packageVersion": version, "options": options}
        if app_id is not None:
            asked["appId"] = app_id
        call(session, "package/render", asked)  # what cannot be rendered is said before anything is announced
        say(
            f"Installing Marathon app for package [{name}] version [{version}]"
            + (f" with app id [{app_id}]" if app_id else "")
        )
        sys.stdout.flush()
        app_id = call(session, "package/install", asked, (2, 1)).get("appId")
    if programs is not None:
        say(f"Installing CLI subcommand for package [{name}] version [{version}]")
        _announce(package_commands.put(session.environ, programs, everywhere=line.has("--global")))
    if package.get("postInstallNotes"):
        say(str(package["postInstallNotes"]))
    if app and patience is not None:
        from tortie.cli.dcos import package_wait

        sys.stdout.flush()
        package_wait.wait(session, str(app_id), patience)
    return 0


def _patience(line: Line) -> float | None:
    if not line.has("--wait"):
        return None
    from tortie.cli.dcos import package_wait

    return package_wait.duration(str(line.value("--wait")))


def _announce(commands: list[str]) -> None:
    if commands:
        say(
            f"New command{'s' if len(commands) > 1 else ''} available: "
            + ", ".join(f"dcos {command}" if len(commands) == 1 else command for command in commands)
        )


def _agreed() -> bool:
    while True:
        answer = _typed("Continue installing? [yes/no] ")
        if answer.lower() in ("yes", "y"):
            return True
        if answer.lower() in ("no", "n"):
            return False
        say(f"'{answer}' is not a valid response.")


def _typed(prompt: str) -> str:
    """A line of standard input. Raises DcosError at its end: nobody is there to be asked."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    text = sys.stdin.readline()
    if not text:
        say("")
        raise DcosError("Standard input ended before an answer was typed; --yes asks for none")
    return text.strip()


def uninstall(session: Session, line: Line) -> int:
    name, app_id = line.need("<package-name>"), line.value("--app-id")
    if line.has("--cli"):
        if not package_commands.remove(session.environ, name):
            raise DcosError(f"Package [{name}] is not installed")
        return 0
    if not line.has("--yes") and sys.stdin.isatty() and not _confirmed(name, app_id, everything=line.has("--all")):
        tell("Cancelling uninstall.")
        return 1
    asked: dict[str, Any] = {"packageName": name, "all": line.has("--all"), "force": line.has("--force")}
    if app_id is not None:
        asked["appId"] = app_id
    try:
        found = _uninstalled(session, asked)
    except CosmosRefused as error:
        # Its app may have gone by another way; then only the command is left here.
        alone = error.kind == "PackageNotInstalled" and not line.has("--app")
        if not (alone and package_commands.remove(session.environ, name)):
            raise
        return 0
    if not line.has("--app"):
        package_commands.remove(session.environ, name)
    for result in found["results"]:
        tell(f"Uninstalled package [{result['packageName']}] version [{result.get('packageVersion', '')}]")
        if result.get("postUninstallNotes"):
            tell(str(result["postUninstallNotes"]))
    return 0


def _uninstalled(session: Session, asked: Mapping[str, Any]) -> Any:
    """Asks again while the package takes out what it has brought to the hosts; each of its words is told once."""
    last = ""
    while True:
        try:
            return call(session, "package/uninstall", asked)
        except CosmosRefused as error:
            if error.kind != "UninstallUnderWay":
                raise
            if str(error) != last:
                tell(last := str(error))
        time.sleep(AGAIN_SECONDS)


def _confirmed(name: str, app_id: str | None, *, everything: bool) -> bool:
    """Whether the name was typed out."""
    wanted = f"uninstall all {name}" if everything else app_id or name
    prompt = "Please type the full name of the app ID to confirm: " if app_id else None
    prompt = prompt or "Please type the name of the service to confirm: "
    if everything:
        prompt = f"Please type '{wanted}': "
    tell(WARNING.format(wanted if not everything else f"all {name}"))
    for _ in range(TRIES):
        answer = _typed(prompt)
        if answer.strip("/") == wanted.strip("/"):
            return True
        tell(f"Expected '{wanted}'. You supplied '{answer}'.")
    return False


def update(session: Session, line: Line) -> int:
    name = line.word("<package-name>")
    if name is None:
        raise DcosError(UPDATE_ALONE)
    options = package_options.read(line.value("--options"))
    version = line.value("--package-version")
    if line.value("--options") is None and version is None:
        raise DcosError("What is to be changed? --options=<file> or --package-version=<package-version>")
    app_id = line.value("--app-id") or _only_app(session, name)
    about = call(session, "cosmos/service/describe", {"appId": app_id})
    package = about.get("package") if isinstance(about, Mapping) else None
    if isinstance(package, Mapping) and package.get("name") != name:
        raise DcosError(f"Package [{name}] with id [{app_id}] is not installed")
    package_options.warn(package.get("config") if isinstance(package, Mapping) else None, options)
    asked: dict[str, Any] = {"appId": app_id, "options": options, "replace": line.has("--replace")}
    asked |= {"force": line.has("--force"), **({"packageVersion": version} if version else {})}
    changed = call(session, "cosmos/service/update", asked)
    now = changed["package"].get("version")
    deployment = changed["marathonDeploymentId"]
    say(f"Updating package [{name}] with app id [{app_id}] to version [{now}]: deployment {deployment}")
    return 0


def _only_app(session: Session, name: str) -> str:
    apps = [str(one["appId"]) for one in call(session, "package/list", {"packageName": name})["packages"]]
    if not apps:
        raise DcosError(f"Package [{name}] is not installed")
    if len(apps) > 1:
        raise DcosError(
            f"Multiple apps named [{name}] are installed: [{', '.join(apps)}].\n"
            "Please use --app-id to specify the ID of the app to update."
        )
    return apps[0]

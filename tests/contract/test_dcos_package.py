"""`dcos package` against the real package service and a real Marathon: what it prints, asks, and exits with."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.dcos_cluster import PATIENT, Answer, Asked, DcosCluster, command, serving
from tests.support.door_live import door
from tests.support.marathon_live import Live, marathon
from tests.support.package_service import CONFIG, Service, Shelf, index, package, service, shelf
from tests.support.waiting import PATIENCE, until

import tortie
from tortie.cli.dcos import package_commands, package_install, package_wait
from tortie.cli.dcos.main import run as command_line
from tortie.cli.dcos.package_client import media_type
from tortie.packages.repositories import DEFAULT
from tortie.packages.sources import Trust
from tortie.packages.universe import Repository

PROGRAM = [sys.executable, "-c", "from tortie.cli.dcos.main import main; main()"]


@dataclass
class Said:
    code: int
    out: str
    err: str


@dataclass
class Desk:
    """Where somebody types `dcos package ...`."""

    url: str
    home: Path
    cosmos: Service
    live: Live
    web: Shelf
    more: dict[str, str] = field(default_factory=dict)

    async def type(self, *words: str, typed: str = "", command: tuple[str, ...] = ("package",)) -> Said:
        return await asyncio.to_thread(self._typed, [*command, *words], typed)

    def _typed(self, words: list[str], typed: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "stdin", io.StringIO(typed))
            patch.chdir(self.home)
            code = command_line(words, self.environ())
        return Said(code, out.getvalue(), err.getvalue())

    def environ(self) -> dict[str, str]:
        plain = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**plain, **PATIENT, "DCOS_DIR": str(self.home / ".dcos"), "DCOS_URL": self.url, **self.more}

    def options(self, value: Any, name: str = "options.json") -> str:
        (self.home / name).write_text(value if isinstance(value, str) else json.dumps(value))
        return name

    async def apps(self) -> list[str]:
        return sorted(app["id"] for app in (await self.live.call("GET", "/v2/apps")).body["apps"])


Story = Callable[[Desk], Awaitable[None]]


def run(tmp_path: Path, story: Story, *entries: dict[str, Any]) -> None:
    async def whole() -> None:
        home = tmp_path / "home"
        home.mkdir()
        async with shelf({"/repo": index(*entries)}) as web, marathon(tmp_path) as live:
            listed = [*DEFAULT, *([Repository("Test", f"{web.url}/repo")] if entries else [])]
            trust = Trust(unsigned=[web.url])
            masters = [f"127.0.0.1:{live.master.port}"]
            async with service(tmp_path, live.url, masters, repositories=listed, trust=trust) as cosmos:
                await story(Desk(cosmos.url, home, cosmos, live, web))

    asyncio.run(whole())


def test_the_lines_of_the_environments_document(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for name, version in (("etcd", "0.0.3"), ("calico", "0.4.0")):
            said = await desk.type("install", name, "--yes")
            assert (said.code, said.err) == (0, "")
            before, line, after = said.out.partition(
                f"Installing Marathon app for package [{name}] version [{version}]\n"
            )
            assert before
            assert line
            assert after
        assert await desk.apps() == ["/calico-install-framework", "/etcd"]

    run(tmp_path, story)


def test_the_prompt(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        no = await desk.type("install", "foo", typed="perhaps\nNO\n")
        assert no.code == 1
        assert no.out == (
            "think twice\nContinue installing? [yes/no] 'perhaps' is not a valid response.\n"
            "Continue installing? [yes/no] Exiting installation.\n"
        )
        nobody = await desk.type("install", "foo")
        assert nobody.code == 1
        assert "--yes asks for none" in nobody.err
        assert await desk.apps() == []
        yes = await desk.type("install", "foo", typed="Y\n")
        assert yes.out == (
            "think twice\nContinue installing? [yes/no] "
            "Installing Marathon app for package [foo] version [1.0]\nit starts\n"
        )
        again = await desk.type("install", "foo", "--yes")
        assert (again.code, again.err) == (1, "Package is already installed\n")
        other = await desk.type("install", "quiet", "--app-id=/x/y")
        assert other.out == "Installing Marathon app for package [quiet] version [1.0] with app id [/x/y]\n"
        assert await desk.apps() == ["/foo", "/x/y"]

    quiet = package("quiet")
    run(tmp_path, story, package(preInstallNotes="think twice", postInstallNotes="it starts"), quiet)


def test_options(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for file, words in (
            ("nowhere.json", "Error opening file [nowhere.json]: No such file or directory"),
            (desk.options("{"), "Error loading JSON: [options.json]"),
            (desk.options("[]"), "options are an object"),
        ):
            said = await desk.type("install", "foo", "--yes", f"--options={file}")
            assert said.code == 1
            assert words in said.err
        wrong = desk.options({"foo": {"seconds": 0, "cpus": "many"}})
        said = await desk.type("install", "foo", "--yes", "--options", wrong)
        assert (said.code, said.out) == (1, "")
        assert said.err == (
            "Error: Options JSON failed validation\n"
            "Found: 0\nRequired minimum: 1\nPath: foo.seconds\n"
            "Found: string\nExpected: integer,number\nPath: foo.cpus\n"
            "\nPlease create a JSON file with the appropriate options, and pass the /path/to/file as an --options "
            "argument.\n"
        )
        assert await desk.apps() == []
        misspelt = desk.options({"foo": {"second": 5}})
        said = await desk.type("install", "foo", "--options", misspelt)
        assert said.code == 0
        assert said.err == (
            "Warning: option foo.second is not one of this package and has no effect; did you mean foo.seconds?\n"
        )
        assert await desk.apps() == ["/foo"]

    run(tmp_path, story, package())


def test_lists_and_descriptions(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        none = await desk.type("list")
        assert (none.code, none.out) == (1, "")
        assert none.err == (
            "There are currently no installed packages. Please use `dcos package install` to install a package.\n"
        )
        assert (await desk.type("list", "--json")).out == "[]\n"
        await desk.type("install", "foo")
        await desk.type("install", "foo", "--app-id=/a/foo")
        listed = await desk.type("list")
        assert [line.rstrip() for line in listed.out.splitlines()] == [
            "NAME  VERSION  APP     COMMAND  DESCRIPTION",
            "foo   1.0      /a/foo  ---      " + "d" * 77 + "...",
            "               /foo",
        ]
        found = json.loads((await desk.type("list", "--json", "--app-id=/foo")).out)
        assert (found[0]["apps"], found[0]["name"]) == (["/foo"], "foo")
        search = await desk.type("search", "marathon-lb")
        assert [line.split()[:4] for line in search.out.splitlines()] == [
            ["NAME", "VERSION", "SELECTED", "FRAMEWORK"],
            ["marathon-lb", "1.2.1", "False", "False"],
        ]
        assert (await desk.type("search", "nonsense")).err == "No packages found.\n"
        assert {"etcd", "foo"} <= {
            one["name"] for one in json.loads((await desk.type("search", "--json")).out)["packages"]
        }

        about = json.loads((await desk.type("describe", "foo")).out)
        assert about["version"] == "1.0"
        assert "config" not in about
        assert json.loads((await desk.type("describe", "foo", "--config")).out) == CONFIG
        template = await desk.type("describe", "foo", "--app")
        assert template.out.startswith('{"id": "/{{foo.name}}"')
        options = desk.options({"foo": {"seconds": 3}})
        rendered = await desk.type("describe", "foo", "--app", "--render", f"--options={options}")
        assert json.loads(rendered.out)["cmd"] == "sleep 3"
        assert json.loads((await desk.type("describe", "foo", "--package-versions")).out) == ["1.0", "0.9"]
        old = await desk.type("describe", "foo", "--package-version=0.9")
        assert json.loads(old.out)["version"] == "0.9"
        for words, text in (
            (("describe", "fob"), "Package [fob] not found\n"),
            (("describe", "foo", "--package-version=8"), "Version [8] of package [foo] not found\n"),
            (("describe", "foo", "--cli"), "Package [foo] brings no command\n"),
            (("install", "foo", "--cli"), "Package [foo] brings no command\n"),
        ):
            said = await desk.type(*words)
            assert (said.code, said.err) == (1, text)

    long = package(release=2, description="d" * 100)
    run(tmp_path, story, long, package(version="0.9", release=1))


def test_uninstallation(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        absent = await desk.type("uninstall", "foo")
        assert (absent.code, absent.err) == (1, "Package [foo] is not installed\n")
        for app in ("/foo", "/b/foo"):
            await desk.type("install", "foo", f"--app-id={app}")
        several = await desk.type("uninstall", "foo")
        assert several.code == 1
        assert several.err == (
            "Multiple apps named [foo] are installed: [/b/foo, /foo].\n"
            "Please use --app-id to specify the ID of the app to uninstall, or use --all to uninstall all apps.\n"
        )
        assert (
            await desk.type("uninstall", "foo", "--app-id=/c")
        ).err == "Package [foo] with id [/c] is not installed\n"
        one = await desk.type("uninstall", "foo", "--app-id=/foo")
        assert (one.code, one.out, one.err) == (0, "", "Uninstalled package [foo] version [1.0]\nit is gone\n")
        await desk.type("install", "needy")
        kept = await desk.type("uninstall", "foo")
        assert kept.code == 1
        assert "Package [foo] is needed by [/needy]" in kept.err
        assert (await desk.type("uninstall", "foo", "--all", "--force", "--yes")).code == 0
        await desk.live.settled()
        assert await desk.apps() == ["/needy"]

    needy = '{"id": "/needy", "cmd": "x", "labels": {"TORTIE_PACKAGE_NEEDS": "foo"}}'
    run(
        tmp_path,
        story,
        package(postUninstallNotes="it is gone"),
        package("needy", template=needy, config=None),
    )


def test_at_a_terminal_the_name_is_typed_out(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.type("install", "foo")
        code, text = await asyncio.to_thread(_at_terminal, desk, ["uninstall", "foo"], "fo\nyes\nFOO\n")
        assert code == 1
        assert "Expected 'foo'. You supplied 'fo'." in text
        assert "Cancelling uninstall." in text
        assert await desk.apps() == ["/foo"]
        code, text = await asyncio.to_thread(_at_terminal, desk, ["uninstall", "foo"], "foo\n")
        assert code == 0
        assert "Please type the name of the service to confirm: " in text
        await desk.live.settled()
        assert await desk.apps() == []

    run(tmp_path, story, package())


def _at_terminal(desk: Desk, words: list[str], typed: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "package", *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=desk.environ(),
        cwd=desk.home,
    ) as program:
        os.close(theirs)
        os.write(ours, typed.encode())
        out, _ = program.communicate(timeout=PATIENCE)
    os.close(ours)
    return program.returncode, out.decode()


def test_an_uninstallation_that_takes_its_time_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new word of the service is told once, until it is done."""
    kind = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1"
    steps = ["0 of 2", "0 of 2", "1 of 2"]

    def answer(asked: Asked) -> Answer:
        if steps:
            error = {"type": "UninstallUnderWay", "message": f"Package [x] is being taken out: {steps.pop(0)}"}
            return Answer(error, 409, {"Content-Type": kind})
        done = {"results": [{"packageName": "x", "appId": "/x", "packageVersion": "1"}]}
        return Answer(done, 200, {"Content-Type": media_type("package/uninstall", "response")})

    monkeypatch.setattr(package_install, "AGAIN_SECONDS", 0.01)
    with serving(DcosCluster(answers={"/package/uninstall": answer})) as cluster:
        said = command(tmp_path, monkeypatch, cluster.url)("package uninstall x --yes")
    assert said.code == 0
    assert said.err.splitlines() == [
        "Package [x] is being taken out: 0 of 2",
        "Package [x] is being taken out: 1 of 2",
        "Uninstalled package [x] version [1]",
    ]


def test_an_installation_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app first, then what its framework rolls out; what is missing is told once."""
    healthy = {"instances": 1, "tasksRunning": 1, "labels": {"DCOS_PACKAGE_FRAMEWORK_NAME": "x"}}
    apps = [Answer({"app": one}) for one in ({"instances": 1}, {"instances": 1}, healthy)]
    apps.insert(1, Answer(b"", 502))
    plans = [
        Answer(b"404 Not Found: service not found.\n", 404),
        Answer(b"", 502),
        Answer({"state": "rolling", "counts": {"done": 1, "all": 2}}),
        Answer({"state": "done", "trouble": "", "counts": {"done": 2, "all": 2}}),
    ]

    def cosmos(path: str, version: int, body: Any) -> Answer:
        return Answer(body, 200, {"Content-Type": media_type(path, "response", version)})

    package = {"name": "x", "version": "1", "marathon": {}, "postInstallNotes": "it starts"}
    answers = {
        "/package/describe": cosmos("package/describe", 3, {"package": package}),
        "/package/render": cosmos("package/render", 1, {"marathonJson": {}}),
        "/package/install": cosmos("package/install", 2, {"packageName": "x", "packageVersion": "1", "appId": "/x"}),
        "/service/marathon/v2/apps/x": lambda _: apps.pop(0) if len(apps) > 1 else apps[0],
        "/service/x/v1/status": lambda _: plans.pop(0) if len(plans) > 1 else plans[0],
    }
    monkeypatch.setattr(package_wait, "PAUSE", 0.01)
    with serving(DcosCluster(answers=answers)) as cluster:
        dcos = command(tmp_path, monkeypatch, cluster.url)
        said = dcos("package install x --wait=10m")
        assert (said.code, said.out.splitlines()[-1]) == (0, "it starts")
        told = said.err.splitlines()
        assert "HTTP 502" in told.pop(1)
        assert told == [
            "Waiting for [/x]: 0 of 1 tasks run",
            "Waiting for [/x]: 0 of 1 tasks run",
            "Waiting for [/x]: the framework x does not answer yet",
            "Waiting for [/x]: 1 of 2 hosts done",
            "[/x] is ready",
        ]
        plans[:] = [Answer(b"Not Found", 404)]
        assert dcos("package install x --wait=10m").err == "[/x] is ready\n"
        apps[:] = [Answer({"app": {"instances": 1}})]
        late = dcos("package install x --wait=0s")
        assert (late.code, late.err) == (1, "[/x] is not ready after 0 s: 0 of 1 tasks run. It goes on by itself.\n")
        before = len(cluster.asked)
        assert dcos("package install x --wait=soon").code == 1
        assert len(cluster.asked) == before, "nothing is installed"


def test_update(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        alone = await desk.type("update")
        assert alone.code == 1
        assert alone.err.startswith("This command has been deprecated.")
        assert (await desk.type("update", "foo", "--package-version=2.0")).err == "Package [foo] is not installed\n"
        await desk.type("install", "foo", "--package-version=1.0", f"--options={desk.options({'foo': {'seconds': 9}})}")
        await desk.live.settled()
        nothing = await desk.type("update", "foo")
        assert nothing.code == 1
        said = await desk.type("update", "foo", f"--options={desk.options({'foo': {'cpus': 0.2}})}")
        assert said.code == 0
        assert said.out.startswith("Updating package [foo] with app id [/foo] to version [1.0]: deployment ")
        await desk.live.settled()
        app = (await desk.live.call("GET", "/v2/apps/foo")).body["app"]
        assert (app["cmd"], app["cpus"]) == ("sleep 9", 0.2)
        assert (await desk.type("update", "foo", "--package-version=2.0")).code == 0
        await desk.live.settled()
        back = await desk.type("update", "foo", "--package-version=1.0")
        assert (back.code, back.out) == (1, "")
        assert "Version [2.0] cannot be updated to [1.0]" in back.err

    run(tmp_path, story, package(release=0), package(version="2.0", release=1, upgradesFrom=["1.0"]))


def test_calico_goes_to_its_next_version_and_back(tmp_path: Path) -> None:
    """The app runs another image: its framework brings what is in that to the agents. (Agents here
    have few ports, and nobody answers to health checks.)"""
    folder = Path(tortie.__file__).parent / "packages/repo/packages/C/calico/3"
    about, config = (json.loads((folder / name).read_text()) for name in ("package.json", "config.json"))
    before, checks, after = (folder / "marathon.json.mustache").read_text().partition('  "healthChecks": [')
    assert checks
    template = before.replace('"requirePorts": true,', "") + after[after.index('  "upgradeStrategy"') :]

    def release(number: int, image: str, **more: Any) -> dict[str, Any]:
        resource = {"assets": {"container": {"docker": {"tortie": image}}}}
        whole = {**about, "name": "calico-here", "config": config, "resource": resource, **more}
        return package(release=number, template=template, **whole)

    ways = {"upgradesFrom": ["0.4.0"], "downgradesTo": ["0.4.0"]}
    both = release(3, "tortie/tortie:0.1.0"), release(4, "tortie/tortie:9.9.9", version="0.4.1", **ways)

    async def story(desk: Desk) -> None:
        async def runs() -> tuple[str, str, str, int]:
            await desk.live.settled()
            app = (await desk.live.call("GET", "/v2/apps/calico-install-framework")).body["app"]
            image = app["container"]["docker"]["image"]
            assert app["env"]["CALICO_IMAGE"] == image
            return image, app["labels"]["DCOS_PACKAGE_VERSION"], app["env"]["ETCD_ENDPOINTS"], app["instances"]

        options = desk.options({"Etcd Settings": {"etcd-endpoints": "http://10.0.0.1:2379"}})
        first = await desk.type("install", "calico-here", "--yes", "--package-version=0.4.0", f"--options={options}")
        assert first.code == 0, first
        old = await runs()
        assert old[1:] == ("0.4.0", "http://10.0.0.1:2379", 1)
        up = await desk.type("update", "calico-here", "--package-version=0.4.1")
        assert (up.code, up.err) == (0, "")
        words = "Updating package [calico-here] with app id [/calico-install-framework] to version [0.4.1]: deployment "
        assert up.out.startswith(words)
        assert await runs() == ("tortie/tortie:9.9.9", "0.4.1", "http://10.0.0.1:2379", 1)
        wrong = await desk.type("update", "calico-here", "--package-version=0.3.1")
        assert (wrong.code, "cannot be updated to [0.3.1]" in wrong.err) == (1, True)
        assert (await desk.type("update", "calico-here", "--package-version=0.4.0")).code == 0
        assert await runs() == old
        assert await desk.apps() == ["/calico-install-framework"]

    run(tmp_path, story, *both)


def test_repositories(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.type("repo", "list")).out == "Tortie: builtin:tortie\n"
        desk.web.pages["/more"] = index(package("more"))
        url = f"{desk.web.url}/more"
        added = await desk.type("repo", "add", "--index=0", "More", url)
        assert (added.code, added.out, added.err) == (0, "", "")
        listed = await desk.type("repo", "list", "--json")
        assert json.loads(listed.out)["repositories"][0] == {"name": "More", "uri": url}
        twice = await desk.type("repo", "add", "More", url)
        assert twice.code == 1
        assert twice.err == f"Repository name [More] and URI [{url}] are both already present in the list\n"
        far = await desk.type("repo", "add", "x", f"{url}2", "--index=9")
        assert far.err == "Index (9) is out of range. Index value must be between 0 and 2 inclusive.\n"
        assert (await desk.type("repo", "add", "x", url, "--index=one")).code == 1
        gone = await desk.type("repo", "remove", "More", "nonsense")
        assert gone.code == 1
        assert gone.err == "Repository name [nonsense] is not present in the list\n"
        (desk.home / "repos.json").write_text(listed.out)
        back = await desk.type("repo", "import", "repos.json")
        assert back.code == 0
        assert back.out == f"Added repo 'More' ({url}) at index 0\n"
        assert "while adding repo 'Tortie'" in back.err
        assert (await desk.type("repo", "import", "options")).code == 1
        assert (await desk.type("repo", "remove", "More", "Tortie")).code == 0
        none = await desk.type("repo", "list")
        assert none.code == 1
        assert none.err.startswith("There are currently no repos configured.")

    run(tmp_path, story)


def test_a_command_that_a_package_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = b'#!/bin/sh\necho "foo says $*"\n'
    here, machine = os.uname().sysname.lower(), os.uname().machine.replace("_", "-")

    def entry(url: str, digest: str) -> dict[str, Any]:
        binary = {"url": url, "kind": "executable", "contentHash": [{"algo": "sha256", "value": digest}]}
        return package(resource={"cli": {"binaries": {here: {machine: binary}}}})

    async def story(desk: Desk) -> None:
        url = f"{desk.web.url}/dcos-foo"
        desk.web.pages["/dcos-foo"] = script
        desk.web.pages["/repo"] = index(entry(url, "0" * 64))
        lie = await desk.type("install", "foo")
        assert (lie.code, lie.out) == (1, "")
        assert "is refused" in lie.err
        assert not list(desk.home.glob(".dcos/subcommands/*"))
        desk.web.pages["/repo2"] = index(entry(url, hashlib.sha256(script).hexdigest()))
        await desk.type("repo", "remove", "Test")
        await desk.type("repo", "add", "Two", f"{desk.web.url}/repo2")
        desk.web.cut = {"/dcos-foo"}
        cut = await desk.type("install", "foo")
        assert (cut.code, cut.out) == (1, "")
        assert "IncompleteRead" in cut.err
        assert not list(desk.home.glob(".dcos/subcommands/*"))
        desk.web.cut = set()
        monkeypatch.setattr(package_commands, "MOST_BYTES", len(script) - 1)
        assert "is larger than" in (await desk.type("install", "foo")).err
        monkeypatch.setattr(package_commands, "MOST_BYTES", len(script))
        assert await desk.apps() == [], "the app is not installed before its command is there"
        said = await desk.type("install", "foo", "--global")
        assert said.code == 0
        assert said.out == (
            "Installing Marathon app for package [foo] version [1.0]\n"
            "Installing CLI subcommand for package [foo] version [1.0]\nNew command available: dcos foo\n"
        )
        assert await desk.apps() == ["/foo"]
        ran = await asyncio.to_thread(
            subprocess.run, [*PROGRAM, "foo", "bar"], capture_output=True, text=True, check=False, env=desk.environ()
        )
        assert ran.stdout == "foo says foo bar\n"
        listed = await desk.type("list", "--cli")
        assert listed.out.splitlines()[1].split()[:4] == ["foo", "1.0", "/foo", "foo"]
        assert (await desk.type("uninstall", "foo", "--cli")).code == 0
        assert (await desk.type("uninstall", "foo", "--cli")).code == 1

    run(tmp_path, story, package())


def test_through_the_door_with_a_token_and_not_without(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        token = tmp_path / "token"
        token.write_text("open-sesame-and-close-it\n")
        token.chmod(0o600)
        behind = int(desk.url.rpartition(":")[2])
        async with door(tmp_path / "door", token=token, packages=behind) as port:
            front = Desk(f"http://127.0.0.1:{port}", desk.home, desk.cosmos, desk.live, desk.web)
            stranger = await front.type("install", "foo")
            assert stranger.code == 1
            assert stranger.err == "Authentication failed. Please run `dcos auth login`\n"
            assert await desk.apps() == []
            front.more = {"DCOS_ACS_TOKEN": "open-sesame-and-close-it"}
            assert (await front.type("install", "foo")).code == 0
            assert (await front.type("list")).out.splitlines()[1].split()[:3] == ["foo", "1.0", "/foo"]
            await desk.live.settled()
            options = desk.options({"foo": {"cpus": 0.2}})
            assert (await front.type("update", "foo", f"--options={options}")).code == 0

    run(tmp_path, story, package())


def test_completion_knows_packages_and_repositories(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        for typed, words in (
            (["package", "install", "ma"], "marathon-lb\n"),
            (["package", "repo", "remove", "T"], "Tortie\n"),
            (["package", "repo", "re"], "remove\n"),
            (["package", "install", "etcd", "--package-v"], "--package-version=\n"),
        ):
            # A cluster that does not answer within a second offers nothing: a busy one may need another try.
            await until(partial(_offered, desk, typed, words), message=str(typed))

    run(tmp_path, story)


async def _offered(desk: Desk, typed: list[str], words: str) -> bool:
    said = await desk.type(*typed, command=("completion", "words"))
    assert said.code == 0
    return said.out == words


def test_a_cluster_without_a_package_service(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        nowhere = Desk(desk.web.url, desk.home, desk.cosmos, desk.live, desk.web)
        said = await nowhere.type("list")
        assert said.code == 1
        assert said.err.startswith("This version of the DC/OS CLI is not supported for your cluster. ")
        desk.web.pages["/package/list"] = b"{}"
        other = await nowhere.type("list")
        assert other.err.startswith(
            "Server returned incorrect response type, expected application/vnd.dcos.package.list"
        )
        away = Desk("http://127.0.0.1:1", desk.home, desk.cosmos, desk.live, desk.web)
        assert "is unreachable" in (await away.type("list")).err
        wrong = await desk.type("instal", "foo")
        assert wrong.code == 1
        assert "Command not recognized" in wrong.err
        assert (await desk.type("install")).code == 1
        await until(lambda: desk.web.asked)

    run(tmp_path, story)

"""`dcos config`, `auth`, `cluster`, and what the program says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.dcos_cluster import PATIENT, Answer, Asked, Dcos, DcosCluster, command, serving
from tests.support.waiting import PATIENCE

CLUSTER_ID = "0b7f1ad4-7a9b-4a7c-9d9d-c1f3bd5ac1b5"
LOGIN = "/acs/api/v1/auth/login"
CHALLENGE = "/pkgpanda/active.buildinfo.full.json"


@pytest.fixture
def cluster() -> Iterator[DcosCluster]:
    with serving(DcosCluster()) as made:
        made.answers = {
            "/metadata": {"PUBLIC_IPV4": "1.2.3.4", "CLUSTER_ID": CLUSTER_ID},
            "/mesos/state-summary": {"cluster": "tortie", "slaves": []},
            "/dcos-metadata/dcos-version.json": {
                "version": "1.9.2",
                "dcos-image-commit": "c0ffee",
                "bootstrap-id": "b",
            },
            CHALLENGE: {},
        }
        yield made


@pytest.fixture
def dcos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dcos:
    return command(tmp_path, monkeypatch)


@pytest.fixture
def bare(dcos: Dcos) -> Dcos:
    """Without a variable that says how long an answer may take."""
    return partial(dcos, **dict.fromkeys(PATIENT, ""))


def asks_for(scheme: str, password: str = "secret") -> dict[str, object]:
    """A cluster that wants a log-in."""

    def login(asked: Asked) -> Answer:
        if asked.document in ({"uid": "me", "password": password}, {"token": "from-a-browser"}):
            return Answer({"token": "a-token"})
        return Answer({"title": "wrong"}, 401)

    def challenge(asked: Asked) -> Answer:
        if asked.headers.get("authorization") == "Basic bWU6c2VjcmV0":
            return Answer({})
        return Answer({}, 401, {"WWW-Authenticate": scheme})

    return {LOGIN: login, CHALLENGE: challenge}


def test_config_says_what_it_changed(bare: Dcos, tmp_path: Path) -> None:
    file = tmp_path / "dcos/dcos.toml"
    assert bare("config set core.timeout 5") == (0, "", "[core.timeout]: set to '5'\n")
    assert bare("config set core.timeout 5").err == "[core.timeout]: already set to '5'\n"
    assert bare("config set core.timeout 6").err == "[core.timeout]: changed from '5' to '6'\n"
    assert bare("config show core.timeout") == (0, "6\n", "")
    assert bare("config set core.dcos_url http://master").code == 0
    assert bare("config show").out == "core.dcos_url http://master\ncore.timeout 6\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert bare("config unset core.timeout") == (0, "", "Removed [core.timeout]\n")
    assert bare("config unset core.timeout") == (1, "", "Property 'core.timeout' doesn't exist\n")
    assert bare("config show core.timeout") == (1, "", "Property 'core.timeout' doesn't exist\n")
    assert bare("config show core").err.splitlines()[1:] == ["core.dcos_url"]
    assert bare("config validate").out.splitlines() == [
        f"Validating {file} ...",
        "Congratulations, your configuration is valid!",
    ]


def test_a_variable_wins_over_the_file(dcos: Dcos) -> None:
    dcos("config set core.timeout 5")
    shown = dcos("config show", DCOS_TIMEOUT="9")
    assert shown.out == f"{'core.timeout 9':<35} # overwritten by environment var DCOS_TIMEOUT; config file value: 5\n"
    assert dcos("config show core.dcos_url", DCOS_URL="http://x").out.startswith("http://x ")


def test_the_file_of_a_variable(bare: Dcos, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    assert bare("config set core.timeout 7", DCOS_CONFIG=str(file)).code == 0
    assert file.read_text() == "[core]\ntimeout = 7\n"


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon"])
def test_a_time_that_is_none(dcos: Dcos, text: str) -> None:
    said = f"core.timeout is a number of seconds, not '{text}'\n"
    assert dcos("task", DCOS_URL="http://127.0.0.1:1", DCOS_TIMEOUT=text) == (1, "", said)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("[core\n", 0o600, "Error parsing config file at ["),
        ("timeout = 5\n", 0o600, "timeout stands in no section"),
        ('[core]\ndcos_acs_token = "x"\n', 0o644, "Permissions '644' for configuration file ["),
        ('[core]\ntimeout = "soon"\ndcos_url = "http://127.0.0.1:1"\n', 0o600, "core.timeout is a number of seconds"),
    ],
)
def test_a_broken_file_is_said(bare: Dcos, tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    file.chmod(mode)
    found = bare("task", DCOS_CONFIG=str(file))
    assert (found.code, found.out) == (1, "")
    assert said in found.err
    assert file.read_text() == text


def test_a_file_that_cannot_be_written_or_read(dcos: Dcos, tmp_path: Path) -> None:
    (tmp_path / "taken").symlink_to("taken")
    file = "/proc/nothing/dcos.toml"
    assert dcos("config set core.timeout 7", DCOS_CONFIG=file).err.startswith(f"Error writing file [{file}]: ")
    assert "Error opening file [" in dcos("config show", DCOS_CONFIG=str(tmp_path / "taken")).err
    assert "Error opening file [" in dcos("config show", DCOS_CONFIG=str(tmp_path)).err


def test_the_program_says_what_it_is(dcos: Dcos, cluster: DcosCluster) -> None:
    assert dcos("").out.splitlines()[0].startswith("The command line of a DC/OS cluster")
    assert [line for line in dcos("").out.splitlines() if len(line) > 80] == []
    assert dcos("--help").out == dcos("help").out == dcos("").out
    assert dcos("help task").out == dcos("task --help").out
    assert dcos("task --info").out == "Manage DC/OS tasks.\n"
    assert dcos("node --version").out == "dcos-node version 0.5.3\n"
    assert dcos("--version", DCOS_URL=cluster.url).out.splitlines() == [
        "dcoscli.version=0.5.3",
        "dcos.version=1.9.2",
        "dcos.commit=c0ffee",
        "dcos.bootstrap-id=b",
    ]
    assert dcos("--version").out.splitlines()[1:] == ["dcos.version=N/A", "dcos.commit=N/A", "dcos.bootstrap-id=N/A"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("confg", "'confg' is not a dcos command; did you mean config?"),
        ("../../bin/sh", "'../../bin/sh' is not a dcos command."),
        ("help nothing", "'nothing' is not a dcos command."),
        ("--colour task", "dcos: unknown option --colour"),
        ("--log-level=loud task", "Log level set to an unknown value 'loud'"),
        ("config set core.timeout", "Command not recognized: <value> is missing\n\nUsage:\n    dcos config set <name>"),
        ("completion csh", "completion of csh? bash, zsh or fish"),
        (
            "task",
            'Missing required config parameter: "core.dcos_url".  Please run `dcos config set core.dcos_url <value>`.',
        ),
        ("marathon app list", 'Missing required config parameter: "core.dcos_url"'),
        ("auth login", "Please provide the url to your DC/OS cluster: `dcos config set core.dcos_url`"),
        ("cluster list", "No clusters are currently configured. To configure one, run `dcos cluster setup <dcos_url>`"),
        ("cluster attach x", "Cluster [x] does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_on_standard_error(dcos: Dcos, line: str, said: str) -> None:
    found = dcos(line)
    assert (found.code, found.out) == (1, "")
    assert said in found.err


def test_a_command_that_a_package_brought_takes_the_place(
    dcos: Dcos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dcos/subcommands/kafka/env/bin/dcos-kafka"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    assert dcos("kafka topics").err == "'kafka' is not a dcos command.\n", "not executable"
    program.chmod(0o755)
    became: list[tuple[str, list[str], str]] = []
    monkeypatch.setattr(os, "execve", lambda path, words, env: became.append((path, words, env["DCOS_CONFIG"])))
    dcos("kafka topics --all")
    assert became == [(str(program), [str(program), "kafka", "topics", "--all"], str(tmp_path / "dcos/dcos.toml"))]


# -- log-in ------------------------------------------------------------------------------------------------------------


def test_a_cluster_without_log_in_asks_nothing(dcos: Dcos, cluster: DcosCluster) -> None:
    assert dcos("auth login", DCOS_URL=cluster.url) == (0, "Login successful!\n", "")
    assert [asked.path for asked in cluster.asked] == [CHALLENGE]


def test_log_in_by_password_with_three_tries(dcos: Dcos, cluster: DcosCluster, tmp_path: Path) -> None:
    cluster.answers |= asks_for('acsjwt realm="x"')
    dcos(f"config set core.dcos_url {cluster.url}")
    done = dcos("auth login", typed="me\nwrong\nme\nsecret\n")
    assert (done.code, done.out) == (0, "Login successful!\n")
    assert done.err == "127.0.0.1's username: me@127.0.0.1's password: " * 2
    assert 'dcos_acs_token = "a-token"' in (tmp_path / "dcos/dcos.toml").read_text()
    assert dcos("config show core.dcos_acs_token").out == "a-token\n"
    cluster.answers["/service/marathon/v2/info"] = {}
    dcos("marathon about")
    assert cluster.asked[-1].headers["authorization"] == "token=a-token"
    assert dcos("auth logout") == (0, "", "")
    assert dcos("config show core.dcos_acs_token").code == 1
    assert dcos("auth login", typed="me\nno\n" * 4).err.endswith("Authentication failed\n")
    ended = dcos("auth login", typed="me\n")
    assert (ended.code, "standard input ended" in ended.err) == (1, True)


def test_log_in_by_a_token_from_a_browser(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers |= asks_for("oauthjwt")
    dcos(f"config set core.dcos_url {cluster.url}")
    done = dcos("auth login", typed="from-a-browser\n")
    assert (done.code, done.out) == (0, "Login successful!\n")
    assert done.err.splitlines()[2].strip() == f"{cluster.url}/login?redirect_uri=urn:ietf:wg:oauth:2.0:oob"
    assert "Enter OpenID Connect ID Token: " in done.err


def test_log_in_at_a_cluster_of_basic_passwords(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers |= asks_for('Basic realm="x"')
    dcos(f"config set core.dcos_url {cluster.url}")
    assert dcos("auth login", typed="me\nsecret\n").code == 0
    dcos("--version")
    assert cluster.asked[-1].headers["authorization"] == "Basic bWU6c2VjcmV0"


def test_log_in_without_questions(dcos: Dcos, cluster: DcosCluster, tmp_path: Path) -> None:
    cluster.answers |= asks_for("acsjwt")
    dcos(f"config set core.dcos_url {cluster.url}")
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o644)
    assert "too open" in dcos(f"auth login --username=me --password-file={file}").err
    file.chmod(0o600)
    assert dcos(f"auth login --username=me --password-file={file}").code == 0
    assert dcos("auth login --username=me --password-env=MINE", MINE="secret").code == 0
    assert dcos("auth login --username=me --password-env=MINE").err.strip().endswith("[MINE] does not exist")
    wrong = dcos("auth login --username=me --password=wrong")
    assert (wrong.code, wrong.err) == (1, "Authentication failed\n")
    assert "exclude each other" in dcos("auth login --password=a --password-env=b").err


def test_an_unknown_way_to_log_in(dcos: Dcos, cluster: DcosCluster) -> None:
    cluster.answers |= asks_for("Negotiate")
    assert "'www-authenticate' field of 'Negotiate'" in dcos("auth login", DCOS_URL=cluster.url).err
    cluster.answers[CHALLENGE] = Answer({}, 502)
    assert "HTTP 502: Bad Gateway" in dcos("auth login", DCOS_URL=cluster.url).err


def test_the_ways_to_log_in(dcos: Dcos, cluster: DcosCluster) -> None:
    users = {"authentication-type": "dcos-uid-password", "client-method": "dcos-usercredential-post-receive-authtoken"}
    cluster.answers |= {"/acs/api/v1/auth/providers": {"dcos-users": users}, **asks_for("acsjwt")}
    dcos(f"config set core.dcos_url {cluster.url}")
    shown = dcos("auth list-providers").out.splitlines()
    assert shown[0].split() == ["PROVIDER", "ID", "AUTHENTICATION", "TYPE"]
    assert shown[1].startswith("dcos-users   Log in as a user of DC/OS")
    assert '"dcos-users": {' in dcos("auth list-providers --json").out
    assert dcos("auth login --provider=dcos-users --username=me --password=secret").code == 0
    assert "Please specify username and password" in dcos("auth login --provider=dcos-users").err
    assert "Provider [x] not configured on your cluster" in dcos("auth login --provider=x").err
    cluster.answers["/acs/api/v1/auth/providers"] = {}
    assert dcos("auth list-providers") == (1, "", "No providers configured for your cluster\n")
    assert dcos("auth list-providers --json").out == "{}\n"
    del cluster.answers["/acs/api/v1/auth/providers"]
    assert dcos("auth list-providers") == (1, "", "This command is not supported for your cluster\n")


# -- several clusters --------------------------------------------------------------------------------------------------


def test_clusters_are_set_up_listed_renamed_attached_and_forgotten(
    dcos: Dcos, cluster: DcosCluster, tmp_path: Path
) -> None:
    cluster.answers |= asks_for("acsjwt")
    done = dcos(f"cluster setup {cluster.url} --username=me --password=secret")
    assert done == (0, "", "")
    assert dcos("config show").out.splitlines() == [
        "cluster.name tortie",
        "core.dcos_acs_token ********",
        f"core.dcos_url {cluster.url}",
    ]
    again = dcos(f"cluster setup {cluster.url} --username=me --password=secret")
    assert (again.code, again.err) == (1, f"Cluster [{cluster.url}] is already setup\n")
    cluster.answers["/metadata"] = {"CLUSTER_ID": "other"}
    cluster.answers["/mesos/state-summary"] = Answer(b"no", 503)
    assert dcos(f"config set core.dcos_url {cluster.url}", typed="me\nsecret\n").code == 0, "beside clusters: a setup"
    rows = dcos("cluster list").out.splitlines()
    assert [row.split()[:3] for row in rows[1:]] == [["tortie", CLUSTER_ID, "1.9.2"], ["other*", "other", "1.9.2"]]
    assert dcos("cluster rename other tortie").err == "A cluster with name [tortie] already exists\n"
    assert dcos("cluster rename other second").code == 0
    assert dcos("cluster attach tortie") == (0, "", "")
    assert '"name": "tortie"' in dcos("cluster list --attached --json").out
    assert dcos("config show cluster.name", DCOS_CLUSTER="second").out == "second\n"
    assert "Cluster [third] does not exist" in dcos("config show", DCOS_CLUSTER="third").err
    assert dcos("cluster remove second").code == 0
    assert dcos("cluster remove second").err == "Cluster [second] does not exist\n"
    assert sorted(os.listdir(tmp_path / "dcos/clusters")) == [CLUSTER_ID]


def test_of_several_clusters_one_has_to_be_attached(dcos: Dcos, cluster: DcosCluster, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cluster.answers["/metadata"] = {"CLUSTER_ID": name}
        assert dcos(f"cluster setup {cluster.url}").code == 0
    (tmp_path / "dcos/clusters/two/attached").unlink()
    assert dcos("task").err == "No cluster is attached. Please run `dcos cluster attach <cluster-name>`\n"
    assert dcos("cluster list --attached").code == 1


@pytest.mark.parametrize("metadata", [{}, {"CLUSTER_ID": "../x"}, {"CLUSTER_ID": 7}, [], b"<html>"])
def test_what_is_no_cluster_leaves_nothing(dcos: Dcos, cluster: DcosCluster, tmp_path: Path, metadata: object) -> None:
    cluster.answers["/metadata"] = metadata
    done = dcos(f"cluster setup {cluster.url}")
    assert (done.code, done.err.startswith("Error trying to find cluster id: ")) == (1, True)
    assert not (tmp_path / "dcos").exists()


def test_a_setup_with_a_wrong_password_leaves_nothing(dcos: Dcos, cluster: DcosCluster, tmp_path: Path) -> None:
    cluster.answers |= asks_for("acsjwt")
    assert dcos(f"cluster setup {cluster.url} --username=me --password=wrong").code == 1
    assert not (tmp_path / "dcos").exists()
    assert "is unreachable: Connection refused" in dcos("cluster setup http://127.0.0.1:1").err
    assert "Unable to parse 'master' as a url" in dcos("cluster setup master").err


@pytest.mark.parametrize("line", ["help", "config show", "--version", "task"])
def test_a_short_command_imports_little(cluster: DcosCluster, tmp_path: Path, line: str) -> None:
    heavy = {"ssl", "click", "rich", "msgspec", "asyncio", "aiohttp", "tomllib", "tortie.lab", "tortie.store", "yaml"}
    script = (
        "import os, sys\nfrom tortie.cli.dcos.main import run\n"
        f"run({line.split()!r}, os.environ)\nprint(sorted({heavy!r} & set(sys.modules)))\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, **PATIENT, "DCOS_URL": cluster.url, "DCOS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.stdout.splitlines()[-1:] == ["[]"], ran.stderr

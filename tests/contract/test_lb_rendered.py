"""What is rendered, in the real HAProxy: it accepts every label and template, and does what they say."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.fake_marathon import host_app
from tests.support.lb_labels import LABELS, TEMPLATE_LABELS
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

from tortie.base.errors import Invalid, Unavailable
from tortie.lb.files import Files
from tortie.lb.render import Rendered, Settings, render
from tortie.lb.services import Choice, services
from tortie.lb.sources import given_certificates, self_signed
from tortie.lb.templates import TEMPLATES, Templates
from tortie.wire.marathon_apps import decode

PATH = os.environ["PATH"] + ":/usr/sbin"

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy", path=PATH) is None or shutil.which("openssl") is None, reason="needs haproxy and openssl"
)


def rendered(apps: list[dict[str, Any]], settings: Settings) -> Rendered:
    decoded, problems = decode(json.dumps({"apps": apps}).encode())
    found, said = services(decoded, Choice(groups=("external",), ports=range(10050, 10101)), lambda host: host)
    assert not [*problems, *said]
    return render(found, settings)


def refusals(made: Rendered, work_dir: Path) -> list[str]:
    """What `haproxy -c` says, warnings too."""
    Files(work_dir).provide(made.files)
    (work_dir / "trial.cfg").write_text(made.text)
    (work_dir / "server.state").write_text("1\n")
    command = ["haproxy", "-c", "-f", os.fspath(work_dir / "trial.cfg")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=os.environ | {"PATH": PATH}
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ALERT" in line or "WARNING" in line]
    return said if done.returncode == 0 else [*said, f"ended with {done.returncode}"]


def every_label(certificate: str) -> list[dict[str, Any]]:
    apps = []
    for number, case in enumerate((*LABELS, *TEMPLATE_LABELS)):
        app = case.app(20000 + 2 * number)
        for label, value in app["labels"].items():
            app["labels"][label] = value.replace("CERT", certificate) if label.endswith("_SSL_CERT") else value
        apps.append(app)
    return apps


@pytest.mark.parametrize("more", [{}, {"host_maps": False}, {"group_https": True}, {"bind_http": False}])
def test_haproxy_accepts_every_label(tmp_path: Path, more: dict[str, Any]) -> None:
    (certificate,) = self_signed(tmp_path, dry=False)
    settings = Settings(work_dir=str(tmp_path), maxconn=100, ssl_certs=(certificate,), **more)
    assert refusals(rendered(every_label(certificate), settings), tmp_path) == []


def test_haproxy_accepts_every_template_of_the_operator(tmp_path: Path) -> None:
    (certificate,) = self_signed(tmp_path, dry=False)
    plain = Settings(work_dir=str(tmp_path), maxconn=100, ssl_certs=(certificate,), group_https=True)
    apps = every_label(certificate)
    head = """global
  maxconn 100
  lua-load /marathon-lb/getpids.lua
defaults
  mode http
  timeout connect 3s
  timeout client 30s
  timeout server 30s
listen stats
  bind 127.0.0.1:9090
  acl getpid path /_haproxy_getpids
  http-request use-service lua.getpids if getpid"""
    own = {
        "HEAD": head,
        "HTTP_FRONTEND_HEAD": "\nfrontend marathon_http_in\n  bind *:8080\n  mode http",
        "HTTP_FRONTEND_APPID_HEAD": "\nfrontend marathon_http_appid_in\n  bind *:9191\n  mode http",
        "HTTPS_FRONTEND_HEAD": "\nfrontend marathon_https_in\n  bind *:8443 ssl {sslCerts} alpn h2\n  mode http",
        "HTTPS_GROUPED_FRONTEND_HEAD": "\nfrontend marathon_https_in\n  bind *:8443\n  mode tcp"
        "\n  tcp-request inspect-delay 5s",
        "BACKEND_HSTS_OPTIONS": "  rspadd  Strict-Transport-Security:\\ max-age=15768000",
    }
    given = Templates({name: own.get(name, template.text) for name, template in TEMPLATES.items()})
    for settings in (replace(plain, templates=given), replace(plain, templates=given, group_https=False)):
        made = rendered(apps, settings)
        assert refusals(made, tmp_path) == []
        assert "add-header Strict-Transport-Security max-age=15768000" in made.text
        assert "use_backend tortie_lb_control if getpid" in made.text


def test_a_certificate_of_our_own_needs_nothing_of_the_system_s_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSSL_CONF", "/nowhere")
    (path,) = self_signed(tmp_path, dry=False)
    made = Path(path).read_text()
    assert (made.count("BEGIN CERTIFICATE"), made.count("PRIVATE KEY")) == (1, 2)
    assert Path(path).stat().st_mode & 0o077 == 0
    assert [item.name for item in Path(path).parent.iterdir()] == ["self-signed.pem"]
    assert self_signed(tmp_path, dry=False) == (path,)
    assert Path(path).read_text() == made
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="openssl is not installed"):
        self_signed(tmp_path / "other", dry=False)


def test_certificates_of_the_operator(tmp_path: Path) -> None:
    (good,) = self_signed(tmp_path, dry=False)
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    variables = {"HAPROXY_SSL_CERT": Path(good).read_text().replace("\n", "\\n"), "HAPROXY_SSL_CERT3": "x"}
    assert given_certificates(good, variables, tmp_path, dry=False) == (good,)
    del variables["HAPROXY_SSL_CERT3"]
    (written,) = given_certificates("", variables, tmp_path, dry=False)
    assert Path(written).read_text() == Path(good).read_text()
    assert Path(written).stat().st_mode & 0o077 == 0
    assert given_certificates("", {}, tmp_path, dry=False) == ()
    assert given_certificates("/nowhere.pem", {}, tmp_path, dry=True) == ("/nowhere.pem",)
    (tmp_path / "empty").mkdir()
    for bad in (broken, tmp_path / "none.pem", tmp_path / "empty", tmp_path / "a b.pem"):
        with pytest.raises(Invalid, match="certificate"):
            given_certificates(f"{good},{bad}", {}, tmp_path, dry=False)


class Site:
    """A backend that answers with what it was asked for, behind one HAProxy with the apps given."""

    def __init__(self, work_dir: Path) -> None:
        self.settings = Settings(
            work_dir=str(work_dir), maxconn=100, http_port=free_port(), https_port=free_port(),
            appid_port=free_port(), stats_port=free_port(), ssl_certs=self_signed(work_dir, dry=False),
        )  # fmt: skip
        self.port = 0
        self.http = aiohttp.ClientSession()

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/away":
            raise web.HTTPFound("/there")
        return web.json_response({"path": request.path_qs, "headers": dict(request.headers)})

    def app(self, name: str, **labels: str) -> dict[str, Any]:
        return host_app(f"/{name}", free_port(), [self.port], **{f"HAPROXY_0_{k}": v for k, v in labels.items()})

    async def get(self, host: str, path: str = "/", *, secure: bool = False, **more: Any) -> tuple[int, str, Any]:
        """Status, the backend's path where it answered, and headers."""
        port = self.settings.https_port if secure else self.settings.http_port
        url = f"http{'s' if secure else ''}://127.0.0.1:{port}{path}"
        headers = {"Host": host} | more.pop("headers", {})
        async with self.http.get(url, headers=headers, allow_redirects=False, ssl=False, **more) as reply:
            text = await reply.text()
            return reply.status, json.loads(text)["path"] if reply.status == 200 else "", reply.headers


@asynccontextmanager
async def site(work_dir: Path) -> AsyncIterator[Site]:
    made = Site(work_dir)
    web_app = web.Application()
    web_app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(web_app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = int(runner.addresses[0][1])
    try:
        yield made
    finally:
        await made.http.close()
        await runner.cleanup()


@asynccontextmanager
async def serving(made: Site, apps: list[dict[str, Any]], **more: Any) -> AsyncIterator[None]:
    settings = replace(made.settings, **more)
    result = rendered(apps, settings)
    work_dir = Path(settings.work_dir)
    assert refusals(result, work_dir) == []
    command = ["haproxy", "-db", "-f", os.fspath(work_dir / "trial.cfg")]
    process = subprocess.Popen(command, env=os.environ | {"PATH": PATH})  # noqa: ASYNC220

    async def up() -> bool:
        try:
            async with made.http.get(f"http://127.0.0.1:{settings.stats_port}/_haproxy_health_check") as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await until(up)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("host_maps", [True, False])
def test_hosts_paths_and_what_is_done_on_the_way(tmp_path: Path, host_maps: bool) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            plain = made.app("plain", VHOST="a.test,b.test")
            apps = [
                plain, made.app("below", VHOST="*.w.test"), made.app("deeper", VHOST="*.x.w.test"),
                made.app("path", VHOST="a.test", PATH="/api", HTTP_BACKEND_PROXYPASS_PATH="/api"),
                made.app("secure", VHOST="s.test", REDIRECT_TO_HTTPS="true", USE_HSTS="true"),
                made.app("root", VHOST="r.test", HTTP_BACKEND_REDIR="/start%20here"),
                made.app("back", VHOST="v.test", HTTP_BACKEND_REVPROXY_PATH="/front"),
                made.app("mine", VHOST="m.test", BACKEND_NETWORK_ALLOWED_ACL="127.0.0.0/8"),
                made.app("not-mine", VHOST="n.test", BACKEND_NETWORK_ALLOWED_ACL="10.0.0.0/8"),
                made.app("sticky", VHOST="c.test", STICKY="true"),
                made.app("who", VHOST="p.test", AUTH="realm:user:$5$abc$qsg6EHbUzHQzF1POlD7zUwBINSELQxypPaeDcZe6vH0"),
            ]  # fmt: skip
            async with serving(made, apps, host_maps=host_maps):
                await ask(made, apps)

    async def ask(made: Site, apps: list[dict[str, Any]]) -> None:
        for host in ("a.test", "A.TEST:8080", "b.test", "q.w.test", "q.x.w.test"):
            assert (await made.get(host, "/x?y=1"))[:2] == (200, "/x?y=1")
        for host in ("w.test", "xw.test", "none.test", "plain_1", "path"):
            assert (await made.get(host))[0] == 503
        assert (await made.get("a.test", "/api/users?z=1"))[:2] == (200, "/users?z=1")
        assert (await made.get("a.test", "/api"))[:2] == (200, "/")
        assert (await made.get("a.test", "/apis"))[:2] == (200, "/apis")
        status, _, headers = await made.get("s.test", "/deep?x=1")
        assert (status, headers["Location"]) == (301, "https://s.test/deep?x=1")
        status, _, headers = await made.get("s.test", "/deep", secure=True)
        assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=15768000")
        status, _, headers = await made.get("r.test")
        assert (status, headers["Location"]) == (301, "/start%20here")
        assert (await made.get("r.test", "/other"))[0] == 200
        assert (await made.get("v.test", "/away"))[2]["Location"] == "/front/there"
        assert [(await made.get(host))[0] for host in ("m.test", "n.test", "p.test")] == [200, 403, 401]
        assert "mesosphere_server_id=" in (await made.get("c.test"))[2]["Set-Cookie"]
        for password, status in (("wrong", 401), ("secret", 200)):
            said = "Basic " + base64.b64encode(f"user:{password}".encode()).decode()
            assert (await made.get("p.test", headers={"Authorization": said}))[0] == status
        url = f"http://127.0.0.1:{made.settings.appid_port}/"
        for name, status in (("/plain", 200), ("/PLAIN", 200), ("/none", 503)):
            async with made.http.get(url, headers={"X-Marathon-App-Id": name}) as reply:
                assert reply.status == status
        async with made.http.get(f"http://127.0.0.1:{apps[-1]['ports'][0]}/") as reply:
            assert reply.status == 401, "the service port asks for the password as well"

    asyncio.run(main())


@pytest.mark.parametrize("host_maps", [True, False])
def test_a_host_that_is_any_name_gets_what_nobody_else_has(tmp_path: Path, host_maps: bool) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            apps = [made.app("any", VHOST="*"), made.app("a", VHOST="a.test", BACKEND_NETWORK_ALLOWED_ACL="10.0.0.0/8")]
            async with serving(made, apps, host_maps=host_maps):
                for secure in (False, True):
                    assert (await made.get("other.test", secure=secure))[0] == 200
                    assert (await made.get("a.test", secure=secure))[0] == 403

    asyncio.run(main())


def test_https_by_virtual_host_has_each_its_certificate(tmp_path: Path) -> None:
    (own,) = self_signed(tmp_path / "own", dry=False)

    async def subject(made: Site, name: str) -> str:
        context = ssl.create_default_context(cafile=own)
        context.check_hostname = False
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", made.settings.https_port, ssl=context, server_hostname=name
        )
        writer.write(f"GET /deep HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
        writer.close()
        return answer.decode()

    async def main() -> None:
        async with site(tmp_path) as made:
            apps = [
                made.app("a", VHOST="a.test,*.a.test", SSL_CERT=own),
                made.app("path", VHOST="a.test", PATH="/deep", HTTP_BACKEND_REDIR="/x"),
                made.app("b", VHOST="b.test"),
            ]
            async with serving(made, apps, group_https=True):
                assert " 200 " in (await subject(made, "a.test")).splitlines()[0]
                assert " 200 " in (await subject(made, "x.a.test")).splitlines()[0]
                with pytest.raises(ssl.SSLCertVerificationError):
                    await subject(made, "b.test")

    asyncio.run(main())


@pytest.mark.parametrize("secure_by", ["header", "greeting"])
def test_over_https_the_host_header_decides_and_else_the_name_in_the_greeting(tmp_path: Path, secure_by: str) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            apps = [
                made.app("a", VHOST="a.test"),
                made.app("b", VHOST="b.test", BACKEND_NETWORK_ALLOWED_ACL="10.0.0.0/8"),
            ]
            async with serving(made, apps):
                host = "b.test" if secure_by == "header" else "unknown.test"
                url = f"https://127.0.0.1:{made.settings.https_port}/"
                async with made.http.get(url, headers={"Host": host}, ssl=False, server_hostname="a.test") as reply:
                    assert reply.status == (403 if secure_by == "header" else 200)

    asyncio.run(main())

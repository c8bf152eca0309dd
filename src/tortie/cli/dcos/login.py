"""Getting a token from a cluster, in the way that the cluster asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tortie.cli.dcos import urls
from tortie.cli.dcos.errors import DcosError, Refused
from tortie.cli.dcos.grammar import Line
from tortie.cli.dcos.reply import Reply
from tortie.cli.dcos.session import tell
from tortie.cli.dcos.web import Http, document

CHALLENGE = "pkgpanda/active.buildinfo.full.json"
POST = "acs/api/v1/auth/login"
PROVIDERS = "acs/api/v1/auth/providers"
BROWSER = "login?redirect_uri=urn:ietf:wg:oauth:2.0:oob"
TRIES = 3
KINDS = ("oauthjwt", "acsjwt", "basic")
OPTIONS = {
    "--provider=<provider_id>": "The authentication provider to log in with.",
    "--username=<username>": "The user.",
    "--password=<password>": "The password, for everybody on this machine to see.",
    "--password-file=<password_file>": "The path to a file that contains the password.",
    "--password-env=<password_env>": "The name of a variable that contains the password.",
}
PATTERN = (
    "[--provider=<provider_id>] [--username=<username>] [--password=<password> | "
    "--password-file=<password_file> | --password-env=<password_env>]"
)
BY_PASSWORD = ("dcos-usercredential-post-receive-authtoken", "dcos-credential-post-receive-authtoken")
BY_TOKEN = ("browser-prompt-oidcidtoken-get-authtoken", "browser-prompt-authtoken")


class Login(NamedTuple):
    """What the command line says about who logs in."""

    provider: str | None = None
    username: str | None = None
    password: str | None = None


def of_line(line: Line, environ: Mapping[str, str]) -> Login:
    """Raises DcosError when the password is not where it should be."""
    return Login(line.value("--provider"), line.value("--username"), _password(line, environ))


def _password(line: Line, environ: Mapping[str, str]) -> str | None:
    if name := line.value("--password-env"):
        if name not in environ:
            raise DcosError(f"Environment variable specified [{name}] does not exist")
        return environ[name]
    if path := line.value("--password-file"):
        try:
            with open(path, encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise DcosError(f"Permissions of file [{path}] are too open: `chmod 600 {path}`")
                return file.read().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DcosError(f"Error opening file [{path}]: {getattr(error, 'strerror', None) or error}") from error
    return line.value("--password")


def token(http: Http, dcos_url: str, login: Login) -> str | None:
    """A fresh token; None where the cluster asks for none. Raises DcosError when it gives none."""
    if login.provider:
        return _by_provider(http, dcos_url, login)
    if login.username and login.password is not None:
        return _insist(_by_password(http, dcos_url, login.username, login.password))
    challenge = http.ask("HEAD", urls.join(dcos_url, CHALLENGE))
    if challenge.status != 401:
        if challenge.status >= 500:
            raise Refused(challenge)
        return None
    kind = scheme(challenge)
    for _ in range(TRIES):
        found = _by_prompt(http, dcos_url, kind, login)
        if found:
            return found
    return _insist(None)


def scheme(challenge: Reply) -> str:
    """How a server that answered 401 wants its users to log in. Raises DcosError."""
    header = challenge.headers.get("www-authenticate", "")
    offered = [part.split()[0].lower() for part in header.split(",") if part.strip()]
    found = next((kind for kind in KINDS if kind in offered), None)
    if found is None:
        raise DcosError(
            f"Server responded with an HTTP 'www-authenticate' field of '{header}', DC/OS only supports "
            f"{', '.join(KINDS)}"
        )
    return found


def providers(http: Http, dcos_url: str) -> dict[str, Any]:
    reply = http.ask("GET", urls.join(dcos_url, PROVIDERS))
    if reply.status in (401, 404):
        raise DcosError("This command is not supported for your cluster")
    if reply.status >= 400:
        raise Refused(reply)
    found = document(reply)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise DcosError(f"Error decoding response from [{reply.url}]: no list of providers")
    return found


def _by_provider(http: Http, dcos_url: str, login: Login) -> str:
    one = providers(http, dcos_url).get(login.provider or "")
    if one is None:
        raise DcosError(f"Provider [{login.provider}] not configured on your cluster")
    method = one.get("client-method")
    if method in BY_TOKEN:
        return _insist(_by_token(http, dcos_url))
    if method not in BY_PASSWORD:
        raise DcosError(f"Authentication by provider [{login.provider}] is not supported by this CLI")
    if not login.username or login.password is None:
        raise DcosError(f"Please specify username and password for provider [{login.provider}]")
    return _insist(_by_password(http, dcos_url, login.username, login.password))


def _by_prompt(http: Http, dcos_url: str, kind: str, login: Login) -> str | None:
    if kind == "oauthjwt":
        return _by_token(http, dcos_url)
    parts = urlsplit(dcos_url)
    user = login.username or parts.username or _ask(f"{parts.hostname}'s username: ")
    password = login.password if login.password is not None else parts.password
    if password is None:
        password = _ask(f"{user}@{parts.hostname}'s password: ", secret=True)
    return (
        _by_basic(http, dcos_url, user, password) if kind == "basic" else _by_password(http, dcos_url, user, password)
    )


def _by_token(http: Http, dcos_url: str) -> str | None:
    url = urls.join(dcos_url, BROWSER)
    if sys.stdin.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        import webbrowser

        webbrowser.open_new_tab(url)
    tell(f"If your browser didn't open, please go to the following link:\n\n    {url}\n")
    return _post(http, dcos_url, {"token": _ask("Enter OpenID Connect ID Token: ")})


def _by_password(http: Http, dcos_url: str, user: str, password: str) -> str | None:
    return _post(http, dcos_url, {"uid": user, "password": password})


def _post(http: Http, dcos_url: str, credentials: Mapping[str, str]) -> str | None:
    """None when the cluster does not believe it."""
    reply = http.ask("POST", urls.join(dcos_url, POST), json=credentials)
    if reply.status == 401:
        return None
    if reply.status >= 400:
        raise Refused(reply)
    found = document(reply)
    if not isinstance(found, dict) or not isinstance(found.get("token"), str):
        raise DcosError(f"Error decoding response from [{reply.url}]: it has no token")
    return str(found["token"])


def _by_basic(http: Http, dcos_url: str, user: str, password: str) -> str | None:
    """A cluster without tokens: what is kept is what the header says."""
    import base64

    said = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    reply = http.ask("HEAD", urls.join(dcos_url, CHALLENGE), headers={"Authorization": said})
    return said if reply.status in (200, 403, 404) else None


def _insist(found: str | None) -> str:
    if not found:
        raise DcosError("Authentication failed")
    return found


def _ask(words: str, *, secret: bool = False) -> str:
    """A line of standard input. Raises DcosError at its end."""
    if secret and sys.stdin.isatty():
        import getpass

        return getpass.getpass(words)
    sys.stderr.write(words)
    sys.stderr.flush()
    typed = sys.stdin.readline()
    if not typed:
        raise DcosError("Authentication failed: standard input ended before it was said who logs in")
    return typed.strip()


def kind_of_provider(about: Mapping[str, Any]) -> str:
    """What a person reads of a provider's way to log in. Raises DcosError."""
    kind, description = about.get("authentication-type"), about.get("description", "")
    texts = {
        "dcos-uid-password": "Log in as a user of DC/OS (username and password)",
        "dcos-uid-servicekey": "Log in as a service user of DC/OS (username and private key)",
        "dcos-uid-password-ldap": "Log in as a user of LDAP (username and password)",
        "saml-sp-initiated": f"Log in by SAML 2.0 ({description})",
        "oidc-authorization-code-flow": f"Log in by OpenID Connect ({description})",
        "oidc-implicit-flow": f"Log in by OpenID Connect ({description})",
    }
    if kind not in texts:
        raise DcosError("Unknown authentication type")
    return texts[str(kind)]

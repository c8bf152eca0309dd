"""`dcos cluster setup`: everything about a new cluster is asked first, and written at the end."""

from __future__ import annotations

import os
import sys

from tortie.cli.dcos import files, settings, urls
from tortie.cli.dcos.clusters import attach
from tortie.cli.dcos.errors import DcosError, LoginNeeded
from tortie.cli.dcos.login import Login, token
from tortie.cli.dcos.session import Session, tell
from tortie.cli.dcos.web import Http

AUTHORITY = "dcos_ca.crt"


def setup(
    session: Session,
    url: str,
    login: Login,
    *,
    insecure: bool = False,
    check: bool = True,
    authority: str | None = None,
) -> int:
    verify, certificate = _trust(session, url, insecure=insecure, check=check, authority=authority)
    plain = session.http_of(url, None, "false" if certificate else verify or "true")
    try:
        secret = token(plain, url, login)
    except LoginNeeded as error:
        raise DcosError("Authentication failed. Please run `dcos cluster setup <dcos_url>`") from error
    http = session.http_of(url, secret, plain.verify)
    cluster_id, name = _names(http, url)
    directory = os.path.join(files.home(session.environ), "clusters", cluster_id)
    if os.path.exists(directory):
        raise DcosError(f"Cluster [{url}] is already setup")
    known: settings.Settings = {"core": {"dcos_url": url}, "cluster": {"name": name}}
    if secret:
        known["core"]["dcos_acs_token"] = secret
    if certificate:
        verify = os.path.join(directory, AUTHORITY)
        files.write_text(verify, certificate)
    if verify:
        known["core"]["ssl_verify"] = verify
    files.write(os.path.join(directory, files.FILE), known)
    attach(session.environ, files.Cluster(cluster_id, directory))
    return 0


def _names(http: Http, url: str) -> tuple[str, str]:
    """The cluster's id and name. Raises DcosError where there is no cluster."""
    try:
        found = http.get(urls.join(url, "metadata"))
    except DcosError as error:
        raise DcosError(
            f"Error trying to find cluster id: {error}\n Please make sure the provided DC/OS URL is valid: {url}"
        ) from error
    cluster_id = found.get("CLUSTER_ID") if isinstance(found, dict) else None
    if not isinstance(cluster_id, str) or not cluster_id.replace("-", "").isalnum() or cluster_id == files.SETUP:
        raise DcosError(f"Error trying to find cluster id: {urls.join(url, 'metadata')} has none")
    try:
        summary = http.get(urls.join(url, "mesos/state-summary"))
    except DcosError:
        summary = {}  # a cluster whose master is away is known by its id
    name = summary.get("cluster") if isinstance(summary, dict) else None
    return cluster_id, name if isinstance(name, str) and name else cluster_id


def _trust(
    session: Session, url: str, *, insecure: bool, check: bool, authority: str | None
) -> tuple[str | None, str | None]:
    """(core.ssl_verify, the certificate to be kept): of a cluster that speaks TLS with an authority of its own."""
    if insecure:
        return "false", None
    if authority:
        return os.path.abspath(authority), None
    if not url.lower().startswith("https://"):
        return None, None
    reply = session.http_of(url, None, "false").ask("GET", urls.join(url, "ca/dcos-ca.crt"))
    if reply.status == 404:
        return "true", None
    if reply.status != 200:
        raise DcosError("Error downloading CA certificate from cluster. Please check the provided DC/OS URL.")
    certificate = reply.text()
    if check and not _believed(certificate):
        return "true", None
    return None, certificate


def _believed(certificate: str) -> bool:
    """A person compares the fingerprint; nobody there is a no."""
    import hashlib
    import ssl

    try:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.strip())).hexdigest().upper()
    except ValueError as error:
        raise DcosError(f"The CA certificate of the cluster cannot be read: {error}") from error
    shown = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
    tell(f"SHA256 fingerprint of cluster certificate bundle:\n{shown}")
    return confirm("Is it the one that your cluster's operator told you?")


def confirm(words: str) -> bool:
    """Three tries to say yes or no; the end of standard input is a no."""
    for _ in range(3):
        sys.stderr.write(f"{words} [yes/no] ")
        sys.stderr.flush()
        typed = sys.stdin.readline()
        answer = typed.strip().lower()
        if answer in ("yes", "y"):
            return True
        if answer in ("no", "n") or not typed:
            return False
        tell(f"'{answer}' is not a valid response.")
    return False

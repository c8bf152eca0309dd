"""The master's page: agents, frameworks and tasks, live."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp

from tortie.mesos.http import Handler
from tortie.web.page import answer, load, page


def _table(name: str, title: str, columns: tuple[str, ...], empty: str) -> str:
    heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return (
        f'<section class="card" id="{name}" aria-labelledby="{name}-title">'
        f'<header><h2 id="{name}-title">{title}</h2><span class="push soft small more"></span></header>'
        f'<div class="scroll"><table class="rows" hidden><thead><tr>{heads}</tr></thead><tbody></tbody></table></div>'
        f'<p class="soft empty" hidden>{empty}</p></section>'
    )


TASK = ("Task", "State", "Addresses", "Agent", "Framework")
BODY = (
    '<div class="stack">'
    + _table("tasks", "Tasks", TASK, "No task runs. A framework such as Marathon starts them.")
    + _table("agents", "Agents", ("Host", "State", "Tasks", "CPUs used", "MB used"), "No agent has registered yet.")
    + _table("frameworks", "Frameworks", ("Name", "State", "Tasks", "Role"), "No framework has subscribed yet.")
    + _table("completed", "Completed tasks", TASK, "No task has ended yet.")
    + '</div><p class="foot"><a href="state">state</a> · <a href="state-summary">summary</a> · '
    '<a href="metrics/snapshot">metrics</a> · <a href="flags">flags</a> <span id="about"></span></p>'
)


async def home(_request: Request) -> ASGIApp:
    return page("Mesos", BODY, subtitle="master", modules=["assets/mesos.js"])


def _files(package: str, folder: str) -> Handler:
    async def serve(request: Request) -> ASGIApp:
        name = request.url.path.rpartition("/")[2]
        return answer(load(package, folder), name, request.headers.get("if-none-match", ""))

    return serve


def routes() -> dict[str, Handler]:
    return {"/": home, "/static": _files("tortie.web", "static"), "/assets": _files("tortie.mesos", "assets")}

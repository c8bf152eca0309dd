"""The page under /ui/: groups, apps, instances and deployments, live."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from tortie.web.page import page, static_routes

BODY = """
<section class="stack" id="board" aria-busy="true">
<form class="tools" role="search">
<label class="search">Search <input type="search" id="search" name="q" autocomplete="off"
 placeholder="app, group, address, label"></label>
<label>State <select id="state"><option value="">all</option><option>running</option><option>deploying</option>
<option>waiting</option><option>delayed</option><option>suspended</option></select></label>
<span class="soft small push" id="sums"></span>
</form>
<section class="card" id="deployments" hidden aria-labelledby="deployments-title">
<header><h2 id="deployments-title">Deployments</h2></header>
<div class="list"></div>
</section>
<section class="card" aria-labelledby="apps-title">
<header><h2 id="apps-title">Apps</h2></header>
<div class="scroll"><table class="rows" hidden>
<thead><tr><th scope="col">App</th><th scope="col">State</th><th scope="col">Instances</th>
<th scope="col">Addresses</th><th scope="col">Hosts</th><th scope="col" class="number">CPUs</th>
<th scope="col" class="number">Memory</th></tr></thead>
<tbody></tbody></table></div>
<div id="empty"></div>
</section>
</section>
<p class="foot"><a href="../v2/apps?embed=apps.tasks">apps</a> · <a href="../v2/groups">groups</a> ·
<a href="../v2/deployments">deployments</a> · <a href="../v2/queue">queue</a> · <a href="../v2/info">about</a>
<span id="about"></span></p>
"""


async def home(_request: Request) -> Response:
    return page(
        "Marathon",
        BODY,
        subtitle="apps and groups",
        modules=["assets/marathon.js"],
        styles=["assets/marathon.css"],
    )


def pages() -> Router:
    """Everything below /ui."""
    routes = [
        Route("/", home, methods=["GET", "HEAD"]),
        *static_routes("/static"),
        *static_routes("/assets", package="tortie.marathon", folder="assets"),
    ]
    return Router(routes, redirect_slashes=False)

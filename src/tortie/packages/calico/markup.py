"""The markup of the rollout's page, without what is filled in."""

BODY = """\
<div class="stack">
<section class="card" aria-labelledby="what">
<header><h2 id="what">The rollout</h2><span id="state" role="status"></span>
<span class="push orders" role="group" aria-label="Orders"></span></header>
<p id="now"><span class="doing">Asking the framework</span>
<span class="since soft" aria-hidden="true"></span><span class="then"></span></p>
<div class="share"><div class="meter" role="progressbar" aria-label="Hosts done" aria-valuemin="0"><span></span></div>
<span id="counts" class="soft small"></span></div>
<div id="gone" class="said" data-kind="bad" role="alert" hidden></div>
<div id="reason" class="said" role="alert" hidden></div>
<p id="note" class="soft small" hidden></p>
<dl class="facts soft small"></dl>
</section>
<section class="card" aria-label="Hosts" id="agents" hidden>
<div class="hosts" id="hosts"><div class="head" aria-hidden="true"></div></div>
</section>
<p class="soft small">The same as <a href="v1/status">JSON</a>, and <a href="json">as the original told it</a>.</p>
</div>
<dialog id="sure" aria-labelledby="sure-title"><h2 id="sure-title"></h2><p></p>
<form method="dialog"><button value="" autofocus>Leave it as it is</button>
<button value="yes" class="yes"></button></form>
</dialog>
<noscript><p>This page needs scripts; <a href="v1/status">the same as JSON</a> does not.</p></noscript>
"""

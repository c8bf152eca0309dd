"""The markup of the door's pages, without what is filled in."""

NO_LOGIN = (
    '<div class="note"><strong>No log-in here</strong>'
    '<p>Everybody who reaches this door may pass. <a href="/">To the front page</a></p></div>'
)
LOGIN = """
<form class="card login" id="login" autocomplete="on">
<label>User <input type="text" name="uid" autocomplete="username" required autofocus></label>
<label>Password <input type="password" name="password" autocomplete="current-password" required></label>
<button type="submit">Log in</button>
<p id="said" class="small" role="alert"></p>
</form>
<section class="card login" id="token" hidden>
<p>Enter this token where <code>dcos auth login</code> asks for it:</p>
<textarea readonly rows="5" aria-label="Token"></textarea>
</section>
"""
HOME = """
<section class="hero"><p id="sum" role="status">Looking at the cluster</p>
<div class="links"><ul id="links" aria-label="Pages"></ul><!--user--></div></section>
<p id="rollout" class="card under-way" role="status" hidden><span class="mark"></span>
<a href="service/calico/">Rollout of the network</a> <span class="text"></span></p>
<div id="board" class="board" aria-busy="true">
<div class="stack">
<section class="card" aria-labelledby="t-parts"><header><h2 id="t-parts">Parts</h2></header>
<ul id="parts"></ul></section>
<section class="card" aria-labelledby="t-frameworks"><header><h2 id="t-frameworks">Frameworks</h2></header>
<ul id="frameworks"></ul></section>
</div>
<div class="stack">
<section class="card" aria-labelledby="t-services"><header><h2 id="t-services">Services</h2>
<span class="push soft small" id="deployments"></span></header><ul id="services"></ul></section>
<section class="card" aria-labelledby="t-agents"><header><h2 id="t-agents">Agents</h2></header>
<ul id="agents"></ul></section>
</div>
</div>
"""

"""The page shell and its static files."""

from __future__ import annotations

from tortie.web.page import HEADERS, answer, load, page, static_routes


def test_a_page_carries_the_policy_and_escapes_what_is_text() -> None:
    made = page("A <b>", "<p>body</p>", subtitle="x & y", nav=[("./", "Apps"), ("d", "Deployments")], current="./")
    text = bytes(made.body).decode()
    assert "<h1>A &lt;b&gt;</h1>" in text
    assert "x &amp; y" in text
    assert "<p>body</p>" in text
    assert text.count("aria-current") == 1
    assert made.headers["content-security-policy"].startswith("default-src 'self'")


def test_a_page_names_its_files_relative_to_itself() -> None:
    text = bytes(page("A", "", modules=["ui/app.js"], styles=["ui/app.css"], static="../static").body).decode()
    assert 'href="../static/tortie.css"' in text
    assert '<script type="module" src="ui/app.js">' in text
    assert 'href="/' not in text
    assert "<style" not in text
    assert "<script>" not in text


def test_files_are_tagged_and_not_sent_twice() -> None:
    table = load("tortie.web", "static")
    assert {"tortie.css", "live.js", "parts.js", "cat.svg"} <= set(table)
    first = answer(table, "live.js", "")
    assert (first.status_code, first.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    again = answer(table, "live.js", first.headers["etag"])
    assert (again.status_code, again.body) == (304, b"")
    assert all(first.headers[name.lower()] == value for name, value in HEADERS.items())


def test_what_is_no_file_is_404() -> None:
    table = load("tortie.web", "static")
    for name in ("nothing.css", "../page.py", "", "page.py"):
        assert answer(table, name, "").status_code == 404


def test_the_route_takes_one_name() -> None:
    assert static_routes("/ui/")[0].path == "/ui/{name}"

"""The page at `/docs`: it is complete, and loads nothing."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from tests.rest_gateway.rest import Gateway
from tools.openapi import document as openapi
from tools.openapi import page
from tools.openapi.files import version

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Reads the ids and links of a page; fails if a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Records a tag."""
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src"}:
                self.links.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Compares an end tag with its start tag."""
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html() -> str:
    """The page."""
    return page.render(openapi.build(version()))


def test_it_is_served_and_its_policy_allows_only_its_own_style(gateway: Gateway, html: str) -> None:
    answer = gateway.send("GET", "/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.decode() == html
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", f"style-src 'sha256-{digest}'"} <= set(policy)


def test_it_loads_nothing_and_every_link_has_a_target(html: str) -> None:
    read = Reader(html)
    assert "script" not in read.tags
    assert not read.tags & {"img", "link", "iframe", "object"}
    assert len(read.ids) == len(set(read.ids))
    assert {link for link in read.links if not link.startswith("#")} == {"openapi.json"}
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)


def test_it_shows_every_call_every_field_and_every_error(html: str) -> None:
    document = openapi.build(version())
    read = Reader(html)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["operationId"] in read.ids
    for name, schema in document["components"]["schemas"].items():
        assert name.endswith("CustomerRequest") or f"object-{name}" in read.ids
        for field in schema.get("properties", {}):
            assert f"<dt><code>{field}</code>" in html
    for code in document["components"]["responses"]:
        assert f"error-{code}" in read.ids


def test_texts_are_escaped() -> None:
    document = openapi.build(version())
    document["info"]["description"] = "<b>`<i>` & more"
    html = page.render(document)
    assert "<p>&lt;b&gt;<code>&lt;i&gt;</code> &amp; more</p>" in html

"""The page at `/docs`: one HTML file without scripts, which loads nothing."""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path

from tools.openapi.markup import Markup, link
from tools.openapi.shared_schemas import Schema

_STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_VARIABLES = """\
export BASE_URL=http://127.0.0.1:8080   # where this gateway is
export API_KEY=...                      # a key of the organisation; `make run` writes one into example.api-key"""


def render(document: Schema) -> str:
    """Renders a document of `document.py`."""
    return "\n".join(_Page(document).lines())


class _Page:
    def __init__(self, document: Schema) -> None:
        self._document = document
        self._markup = Markup(document)
        self._operations: list[tuple[str, str, Schema]] = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        known = [operation["parameters"] for _, _, operation in self._operations if operation.get("parameters")]
        self._common: list[Schema] = [parameter for parameter in known[0] if all(parameter in each for each in known)]
        # Schemas that are shown with their call, and not among the objects.
        self._bodies = {
            content["schema"]["$ref"].rpartition("/")[2]
            for _, _, operation in self._operations
            for body in (operation.get("requestBody", {}), operation["responses"]["200"])
            for content in body.get("content", {}).values()
            if "$ref" in content["schema"]
        }

    def lines(self) -> Iterator[str]:
        info = self._document["info"]
        title = f"{escape(info['title'])} {escape(info['version'])}"
        yield f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield '<meta name="color-scheme" content="light dark">'
        yield f"<style>{_STYLE}</style>\n</head>\n<body>"
        yield from self._contents()
        yield f'<main>\n<h1>{title}</h1>\n<p class="lead">{self._markup.inline(info["summary"])}</p>'
        yield self._markup.text(info["description"])
        yield (
            "<p>The examples are one story, each with the answer that it has there. Ids and counts in them are those "
            "of the story: replace them with your own. They use two variables of the shell:</p>"
        )
        yield _block(_VARIABLES)
        yield from self._parameters("Headers that every call may have", self._common)
        yield '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        for tag in self._document["tags"]:
            yield f'<h2 id="{_anchor(tag["name"])}">{escape(tag["name"])}</h2>\n{self._markup.text(tag["description"])}'
            for path, method, operation in self._tagged(tag):
                yield from self._operation(path, method, operation)
        yield from self._failures()
        yield from self._objects()
        yield "</main>\n</body>\n</html>\n"

    def _tagged(self, tag: Schema) -> list[tuple[str, str, Schema]]:
        return [found for found in self._operations if tag["name"] in found[2]["tags"]]

    def _contents(self) -> Iterator[str]:
        yield '<nav aria-label="Contents">\n<ul>'
        for tag in self._document["tags"]:
            yield f'<li><a href="#{_anchor(tag["name"])}">{escape(tag["name"])}</a>\n<ul>'
            for _, _, operation in self._tagged(tag):
                name = escape(operation["operationId"])
                yield f'<li><a href="#{name}">{name}</a></li>'
            yield "</ul></li>"
        yield '<li><a href="#errors">Errors</a></li>\n<li><a href="#objects">Objects</a></li>\n</ul>\n</nav>'

    def _operation(self, path: str, method: str, operation: Schema) -> Iterator[str]:
        name = escape(operation["operationId"])
        yield f'<section id="{name}">\n<h3><a href="#{name}">{name}</a></h3>'
        yield f'<p class="path"><b class="{method}">{method.upper()}</b> <code>{escape(path)}</code></p>'
        yield f"<p><strong>{self._markup.inline(operation['summary'])}.</strong></p>"
        yield self._markup.text(operation["description"])
        own = [parameter for parameter in operation.get("parameters", []) if parameter not in self._common]
        yield from self._parameters("Parameters", own)
        if "requestBody" in operation:
            yield from self._content("Body", operation["requestBody"])
        yield from self._content("Answer", operation["responses"]["200"])
        yield from self._example(path, operation)
        failures = [code for code in operation["responses"] if code != "200"]
        if failures:
            yield f"<p>Errors: {', '.join(link(f'error-{code}', code) for code in failures)}.</p>"
        yield "</section>"

    def _parameters(self, title: str, parameters: list[Schema]) -> Iterator[str]:
        if not parameters:
            return
        yield f"<h4>{title}</h4>\n<dl>"
        for parameter in map(self._markup.resolved, parameters):
            kind = f"{self._markup.kind(parameter['schema'])}, in the {parameter['in']}"
            yield self._markup.entry(parameter["name"], kind, parameter, "required" if "required" in parameter else "")
        yield "</dl>"

    def _content(self, title: str, body: Schema) -> Iterator[str]:
        [(media_type, content)] = body["content"].items()
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        anchor = f' id="object-{name}"' if name in self._bodies else ""
        yield f"<h4{anchor}>{title} <small>{name or media_type}</small></h4>"
        yield self._markup.text(body.get("description", ""))
        yield from self._properties(self._markup.resolved(content["schema"]))

    def _properties(self, schema: Schema) -> Iterator[str]:
        if "properties" not in schema:
            return
        # Most fields of requests are optional, and most of answers are always present: only the others have a remark.
        is_request = schema.get("additionalProperties") is False
        required = schema.get("required", [])
        yield "<dl>"
        for name, found in schema["properties"].items():
            remark = ("required" if is_request else "may be absent") if (name in required) == is_request else ""
            yield self._markup.entry(name, self._markup.kind(found), found, remark)
        yield "</dl>"

    def _example(self, path: str, operation: Schema) -> Iterator[str]:
        """Renders a command for the shell, and its answer."""
        for parameter in map(self._markup.resolved, operation.get("parameters", [])):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        words = [f'curl "$BASE_URL{path}"']
        if operation.get("security") != []:
            words.append('-H "x-api-key: $API_KEY"')
        if "requestBody" in operation:
            body = _json(operation["requestBody"]["content"]["application/json"]["example"])
            words += ["-H 'content-type: application/json'", f"-d '{body}'"]
        [(media_type, content)] = operation["responses"]["200"]["content"].items()
        if media_type == "text/event-stream":
            words[0] = words[0].replace("curl ", "curl -N ", 1)  # events are printed as they come
        yield "<h4>Example</h4>"
        yield _block(" \\\n  ".join(words))
        yield _block((_event if media_type == "text/event-stream" else _json)(content["example"]))

    def _failures(self) -> Iterator[str]:
        yield '<h2 id="errors">Errors</h2>'
        yield from self._properties(self._document["components"]["schemas"]["Error"])
        for code, failure in self._document["components"]["responses"].items():
            yield f'<section id="error-{code}">\n<h3>{code}</h3>\n{self._markup.text(failure["description"])}'
            for example in failure["content"]["application/json"]["examples"].values():
                yield _block(_json(example["value"]))
            yield "</section>"

    def _objects(self) -> Iterator[str]:
        """Renders the schemas that are not the body of a single call."""
        yield '<h2 id="objects">Objects</h2>'
        for name, schema in self._document["components"]["schemas"].items():
            if name not in self._bodies:
                yield f'<section id="object-{name}">\n<h3>{name}</h3>\n{self._markup.text(schema["description"])}'
                yield from self._properties(schema)
                yield "</section>"


def _anchor(name: str) -> str:
    return "tag-" + name.lower().replace(" ", "-")


def _block(text: str) -> str:
    # A block that can be scrolled must be reachable with the keyboard.
    return f'<pre tabindex="0">{escape(text, quote=False)}</pre>'


def _event(fields: Schema) -> str:
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

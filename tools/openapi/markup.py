"""The HTML of texts and of types."""

import re
from html import escape
from itertools import groupby

from tools.openapi.shared_schemas import Schema

_CODE = re.compile(r"`([^`]+)`")
_REFERENCE = re.compile(r"#/components/(\w+)/([\w-]+)")
_KINDS = {"date-time": "time", "uuid": "UUID", "email": "e-mail address"}


class Markup:
    """Renders parts of one document, with links to its calls and schemas.

    Args:
        document: the OpenAPI document.
    """

    def __init__(self, document: Schema) -> None:
        self._components: Schema = document["components"]
        self._calls = {
            operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
        }

    def resolved(self, described: Schema) -> Schema:
        """Resolves a reference; returns anything else unchanged."""
        if (found := _REFERENCE.fullmatch(described.get("$ref", ""))) is None:
            return described
        named: Schema = self._components[found[1]][found[2]]
        return named

    def kind(self, schema: Schema) -> str:
        """Returns a short description of a type, as HTML."""
        if "anyOf" in schema:
            return self.kind(schema["anyOf"][0])
        if (found := _REFERENCE.fullmatch(schema.get("$ref", ""))) is not None:
            return link(f"object-{found[2]}", found[2])
        kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
        match kind:
            case "array":
                kind = f"list of {self.kind(schema['items'])}"
            case "object" if "additionalProperties" in schema:
                kind = f"object of {self.kind(schema['additionalProperties'])}"
            case "string" if "enum" in schema:
                kind = " or ".join(f"<code>{escape(value)}</code>" for value in schema["enum"])
            case _:
                kind = _KINDS.get(schema.get("format", ""), kind)
        return kind + _limits(schema)

    def entry(self, name: str, kind: str, described: Schema, remark: str) -> str:
        """Renders a field or a parameter; `kind` is HTML."""
        remarked = f' <small class="remark">{remark}</small>' if remark else ""
        text = self.text(described.get("description", ""))
        return f"<dt><code>{escape(name)}</code><small>{kind}</small>{remarked}</dt>\n<dd>{text}</dd>"

    def text(self, text: str) -> str:
        """Renders paragraphs and lists."""
        html: list[str] = []
        for is_item, lines in groupby(text.split("\n"), lambda line: line.startswith("- ")):
            if is_item:
                html += ["<ul>", *(f"<li>{self.inline(line[2:])}</li>" for line in lines), "</ul>"]
            else:
                html += [f"<p>{self.inline(line)}</p>" for line in lines if line]
        return "\n".join(html)

    def inline(self, text: str) -> str:
        """Renders text within a paragraph."""
        return _CODE.sub(self._code, escape(text, quote=False))

    def _code(self, found: re.Match[str]) -> str:
        name = found[1]
        if name in self._components["schemas"]:
            return f"<code>{link(f'object-{name}', name)}</code>"
        if name in self._calls:
            return f"<code>{link(name, name)}</code>"
        return f"<code>{name}</code>"


def _limits(schema: Schema) -> str:
    least, most = (
        next((schema[f"{end}{of}"] for of in ("Length", "Items", "Properties") if f"{end}{of}" in schema), None)
        for end in ("min", "max")
    )
    if most is None:
        return ""
    return f", {least:,} to {most:,}" if least else f", at most {most:,}"


def link(anchor: str, text: str) -> str:
    """Renders a link within the page."""
    return f'<a href="#{anchor}">{escape(text)}</a>'

"""SVG that may stand in a page: nothing but drawing, named for readers, ids unique in the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

_SVG = "http://www.w3.org/2000/svg"
_ELEMENTS = {"svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clipPath"}
_ATTRIBUTES = {
    *("id", "width", "height", "viewBox", "transform", "d", "x", "y", "x1", "x2", "y1", "y2"),
    *("dx", "dy", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "opacity"),
    *("stroke-dasharray", "stroke-dashoffset", "stroke-miterlimit", "stroke-linecap"),
    *("stroke-linejoin", "clip-path", "font-family", "font-size", "font-weight", "font-style"),
    *("text-anchor", "visibility", "rx", "ry"),
}


def cleaned(svg: str, slug: str, title: str, description: str) -> str:
    """Return an SVG that holds only drawing elements and attributes.

    Args:
        svg: What a renderer made. Its texts may come from anywhere; they stay texts.
        slug: Starts every id, so that several drawings can stand in one page.
        title: Its name for readers who do not see it.
        description: What it shows, in words.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)  # noqa: S314  (the chart library's own output)
    _keep_drawing_only(root)
    _rename_ids(root, slug)
    root.set("role", "img")
    root.set("aria-labelledby", f"{slug}-title {slug}-desc")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        named = ET.Element(f"{{{_SVG}}}{tag}", id=f"{slug}-{tag}")
        named.text = text
        root.insert(position, named)
    return ET.tostring(root, "unicode")


def _keep_drawing_only(element: ET.Element) -> None:
    for key in set(element.attrib) - _ATTRIBUTES:
        del element.attrib[key]
    for child in list(element):
        if child.tag.removeprefix(f"{{{_SVG}}}") in _ELEMENTS:
            _keep_drawing_only(child)
        else:
            element.remove(child)


def _rename_ids(root: ET.Element, slug: str) -> None:
    """Number ids anew: the renderer's depend on how many drawings it has made before."""
    ids: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            ids[element.attrib["id"]] = f"{slug}-{len(ids)}"
            element.set("id", ids[element.attrib["id"]])
    for element in root.iter():
        for key, value in element.attrib.items():
            found = re.fullmatch(r"url\(#(.*)\)", value)
            if found:
                element.set(key, f"url(#{ids.get(found[1], '')})")

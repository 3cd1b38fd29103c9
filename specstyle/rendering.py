"""Pages made of the templates that the package carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render(template: Path, **values: Any) -> str:
    """Return an HTML page: a template (Jinja2) with its values, none of which is taken as markup.

    Args:
        template: The file; those that it includes lie beside it.
        values: By the names that the template has for them, all of which are needed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # keys in their own order
    return environment.get_template(template.name).render(values)

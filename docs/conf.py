"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from airflow_provider_tcbilling import __version__

HERE = Path(__file__).parent

# Before anything imports Airflow: a build neither reads nor writes the home of the person who runs it.
os.environ["AIRFLOW_HOME"] = str(HERE / "_build" / "airflow")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

sys.path.insert(0, str(HERE / "_ext"))

project = "airflow-provider-tcbilling"
author = "The airflow-provider-tcbilling authors"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "directives",
    "error_links",
    "phone_tables",
]
exclude_patterns = ["_build", "**/_*.md"]
default_role = "code"

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False

copybutton_prompt_text = "$ "

_LIGHT = {"ground": "#ffffff", "raised": "#f4f5f8", "edge": "#dfe3ea", "ink": "#1b2230", "faint": "#586274"}
_DARK = {"ground": "#11141a", "raised": "#1a1f28", "edge": "#2e3541", "ink": "#e7ebf2", "faint": "#a0aabb"}


def _colours(palette: dict[str, str], link: str, code: str) -> dict[str, str]:
    return {
        "font-stack": 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
        "font-stack--monospace": 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
        "color-brand-primary": link,
        "color-brand-content": link,
        "color-brand-visited": link,
        "color-background-primary": palette["ground"],
        "color-background-secondary": palette["raised"],
        "color-background-border": palette["edge"],
        "color-foreground-primary": palette["ink"],
        "color-foreground-secondary": palette["faint"],
        "color-foreground-muted": palette["faint"],
        "color-sidebar-background": palette["raised"],
        "color-inline-code-background": code,
        "color-table-header-background": palette["raised"],
        "color-table-border": palette["edge"],
    }


html_theme = "furo"
html_title = project
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css", "kill-matrix.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": _colours(_LIGHT, link="#0a55b8", code="#eef1f6"),
    "dark_css_variables": _colours(_DARK, link="#8fbdff", code="#222935"),
}

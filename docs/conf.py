"""Sphinx configuration: `make docs` builds docs/_build/html, every warning an error."""

from importlib.metadata import version as version_of

project = "adhesion"
author = "The adhesion developers"
version = release = version_of("adhesion-workflows")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# The pages are read on GitHub as well, where links go to files of the repository.
suppress_warnings = ["myst.xref_missing"]

html_theme = "furo"
html_title = f"adhesion {version}"
# Tables of 100 columns fit beside the menu.
html_theme_options = {"light_css_variables": {"code-font-size": "72%"}}
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

default_role = "code"  # numpydoc docstrings name parameters in single backticks
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
nitpicky = False


def _absolute_values(app, what, name, obj, options, lines) -> None:  # noqa: ARG001
    """Docstrings write |a x b|, which reStructuredText would take for a substitution."""
    lines[:] = [line if "`" in line else line.replace("|", r"\|") for line in lines]


def _constants(app, what, name, obj, skip, options) -> bool | None:  # noqa: ARG001
    """Leave out the constants of a module: what is documented is what can be called."""
    return True if what == "module" and name.isupper() else None


def setup(app) -> None:
    """Register the hooks above."""
    app.connect("autodoc-skip-member", _constants)
    app.connect("autodoc-process-docstring", _absolute_values)

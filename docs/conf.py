"""The site: `make docs` builds it from these pages and from the docstrings."""

import inspect
import re
import socket
from pathlib import Path

from sphinx.util.nodes import make_refnode

import qsnn_plugins

project = "qsnn_plugins"
author = "The qsnn_plugins developers"
version = release = qsnn_plugins.__version__
copyright = f"2026, {author}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "index"
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "qsnn_plugins"
html_static_path = ["_static"]
html_css_files = ["tutorials.css"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# the tutorials run when the site is built, and again when their code changes or after `make clean`
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1200  # seconds for a cell: the longest takes one minute on two idle cores
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# a name in backticks is one of ours where there is such a one
default_role = "py:obj"
add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80  # a longer one has a parameter per line
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# links to others' references, where there is a network to fetch their lists of names from
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
    "lightning": ("https://lightning.ai/docs/pytorch/stable", None),
    "snntorch": ("https://snntorch.readthedocs.io/en/latest", None),
    "spikingjelly": ("https://spikingjelly.readthedocs.io/zh-cn/latest", None),
}
try:
    socket.getaddrinfo("docs.python.org", 443)
except OSError:
    intersphinx_mapping = {}
# a name in backticks such as `shape` may be that of several attributes
suppress_warnings = ["ref.python"]

# pages outside this folder, and the pages of the site that show them
_OUTSIDE = {
    "README.md": "index.md",
    "recipes/README.md": "recipes.md",
    "qsnn_plugins/ops/quantized_lif/README.md": "operator.md",
}


def _link_inside(app, page, source):
    """Turn links to pages outside the folder into links to the pages that show them."""
    up = "../" * page.count("/")
    for outside, inside in _OUTSIDE.items():
        source[0] = source[0].replace(f"](../{up}{outside})", f"]({up}{inside})")


def _leave_hosts_out(app, what, name, obj, options, lines):
    """Say of a host's own name whose it is, and nothing of how a value's class is built."""
    home = getattr(obj, "__module__", None) or "qsnn_plugins"
    if not home.startswith("qsnn_plugins") and what in ("class", "function"):
        lines[:] = [f"``{home}.{getattr(obj, '__name__', name)}``, as the host has it."]
    if what == "data" and "\n".join(lines).strip() == inspect.cleandoc(type(obj).__doc__ or ""):
        lines.clear()  # a value has no docstring of its own: this is how its class is built


def _leave_types_out(app, what, name, obj, options, lines):
    """Show a constant by its value, without the docstring of its type."""
    if what == "data" and getattr(obj, "__doc__", None) == type(obj).__doc__:
        lines[:] = []


def _show_equations(app, what, name, obj, options, lines):
    """Begin a literal block where an indented paragraph follows plain text: an equation."""
    shown, before = [], ""
    for line in lines:
        follows_text = shown[-1:] == [""] and before and not before.startswith(" ")
        if line.startswith("    ") and follows_text:
            shown += ["::", ""]
        shown.append(line)
        before = line or before
    lines[:] = shown


def _escape_bars(app, what, name, obj, options, lines):
    """Keep |x| from being a substitution, outside literal blocks and examples."""
    is_literal = is_example = False
    for i, line in enumerate(lines):
        is_example = line.lstrip().startswith(">>>") or (is_example and bool(line.strip()))
        if not line.startswith(" ") and line.strip():
            is_literal = False
        if not (is_literal or is_example):
            lines[i] = re.sub(r"\|(?!`)", r"\\|", line)
        if line.strip() == "::":
            is_literal = True


def _find_without_module(app, env, node, contnode):
    """Link `QuantSpec` and `nn.weight_layers`, whose modules are left out, where only one fits."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not (target[:1].isupper() or "." in target):
        return None
    found = env.get_domain("py").find_obj(env, None, None, target, None, 1)
    found = [(name, place) for name, place in found if not place.aliased]
    if len(found) != 1:
        return None
    name, place = found[0]
    return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, contnode, name)


def setup(app):
    """Register what changes pages, links and docstrings, before and after napoleon reads them."""
    app.connect("source-read", _link_inside)
    app.connect("missing-reference", _find_without_module, priority=0)
    app.connect("autodoc-process-docstring", _leave_hosts_out, priority=0)
    app.connect("autodoc-process-docstring", _leave_types_out, priority=0)
    app.connect("autodoc-process-docstring", _show_equations, priority=1)
    app.connect("autodoc-process-docstring", _escape_bars, priority=900)

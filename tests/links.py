"""Check the built site: `python -m tests.links docs/_build/html`.

Every link within it leads to a file, and to a place that is there; every public name has a page.
"""

import importlib
import pkgutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import qsnn_plugins


class Page(HTMLParser):
    """The links of a page, and the places that links may lead to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.places |= {known.get("id"), known.get("name") if tag == "a" else None}
        self.links += [known[key] for key in ("href", "src") if known.get(key)]


def broken_links(site):
    """Return what is wrong with the links of a folder of HTML, one sentence each."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.is_file():
                wrong.append(f"{path.relative_to(site)}: there is no {link}")
            elif place and target in pages and place not in pages[target].places:
                wrong.append(f"{path.relative_to(site)}: there is no place {link}")
    return wrong


def public_names():
    """Return the full names of what packages list in their `__all__`."""
    packages = ["qsnn_plugins"]
    packages += [
        f"qsnn_plugins.{found.name}"
        for found in pkgutil.iter_modules(qsnn_plugins.__path__)
        if found.ispkg or found.name in ("errors", "presets", "saving")
    ]
    return {
        f"{package}.{name}"
        for package in packages
        for name in getattr(importlib.import_module(package), "__all__", ())
    }


def names_without_a_page(site):
    """Return the public names that no page documents, not under the names of their homes either."""
    known = set().union(*(Page(path.read_text("utf-8")).places for path in site.rglob("*.html")))
    return sorted(name for name in public_names() if not names_of(name) & known)


def names_of(name):
    """Return a name and those under which the same object is known elsewhere in the package."""
    package, _, last = name.rpartition(".")
    found = getattr(importlib.import_module(package), last)
    home = found.__name__ if hasattr(found, "__path__") else getattr(found, "__module__", package)
    names = {name, home, f"{home}.{last}"}
    above = home.split(".")
    return names | {".".join([*above[:end], last]) for end in range(1, len(above))}


def main():
    site = Path(sys.argv[1]).resolve()
    pages = len(list(site.rglob("*.html")))
    wrong = broken_links(site)
    wrong += [f"{name} has no page" for name in names_without_a_page(site)]
    print("\n".join(wrong) or f"links: {pages} pages, all of them lead somewhere")
    return 1 if wrong or not pages else 0


if __name__ == "__main__":
    sys.exit(main())

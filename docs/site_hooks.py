"""Take the pages that stand at the root of the repository into the site, without a second copy of them.

GitHub looks for CONTRIBUTING.md and its like at the root; MkDocs reads the folder ``docs`` alone. Their links, and the
links to them, are rewritten to where the pages are in the site.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the files of the site."""
    for name, in_site in PAGES.items():
        files.append(File.generated(config, in_site, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to the pages of the site."""
    if page.file.src_uri in PAGES.values():
        markdown = re.sub(r"(\]\()docs/", r"\1", markdown)
    up = "../" * page.file.src_uri.count("/")
    for name, in_site in PAGES.items():
        markdown = re.sub(rf"(\]\()(?:\.\./)*{re.escape(name)}(?=[)#])", rf"\g<1>{up}{in_site}", markdown)
    return markdown


def on_serve(server: object, config: MkDocsConfig, builder: object) -> None:
    """Rebuild when one of the pages is edited."""
    watch = getattr(server, "watch", None)
    if watch is not None:
        for name in PAGES:
            watch(str(ROOT / name))

"""Settings of the documentation, for Sphinx.

    pip install -c constraints.txt ".[docs]"
    python -m sphinx -W -n docs site

builds the site and runs every example. No network is needed: the inventories of other
projects lie in _inventories/.
"""

import sys
import tomllib
from pathlib import Path

import sksegment

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))

from python_names import source_address  # noqa: E402

project = "sksegment"
author = "The sksegment developers"
copyright = f"2026, {author}"
version = release = sksegment.__version__
# pyproject.toml and CITATION.cff have the same addresses.
repository = "https://github.com/sksegment/sksegment"
html_baseurl = "https://sksegment.github.io/sksegment/stable/"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.linkcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxext.opengraph",
    "sphinx_sitemap",
    # Ours, in _ext/
    "python_names",
    "repository_links",
    "site_files",
]
exclude_patterns = ["_build", "_inventories", "benchmarks/scripts"]
templates_path = ["_templates"]
default_role = "literal"  # a name between backticks is code, in docstrings as well

# Docstrings: a page for each public name, from _templates/autosummary.
autosummary_generate = True
autodoc_typehints = "none"  # the sections of docstrings have shapes, which types lack
toc_object_entries_show_parents = "hide"  # the names of methods alone
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template of classes lists them
# Links to other projects. Types in docstrings are words, so only those below are links.
intersphinx_mapping = {
    name: (project["address"], f"_inventories/{name}.inv")
    for name, project in tomllib.loads(
        (DOCS / "_inventories" / "names.toml").read_text("utf-8")
    ).items()
}

copybutton_exclude = ".linenos, .gp, .go"  # neither the prompts nor what is printed

# Markdown
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3  # the anchors of headings that the code host has, too

# Examples
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_\w+\.py$",
    "within_subsection_order": "gallery_order.LessonOrder",
    "doc_module": ("sksegment",),
    "backreferences_dir": "reference/backreferences",
    "parallel": 2,
    "abort_on_example_error": False,  # Sphinx names all that failed, and then fails
    "show_memory": False,
    "remove_config_comments": True,
}

# Pages
html_theme = "pydata_sphinx_theme"
html_title = "sksegment"
html_short_title = "sksegment"
html_static_path = ["_static"]
html_css_files = ["sksegment.css"]
html_copy_source = True  # language models read the Markdown, not the page
html_show_sourcelink = False  # the link "Edit on GitHub" leads to it
html_context = {
    "default_mode": "auto",  # light or dark, as the reader's system
    "github_user": "sksegment",
    "github_repo": "sksegment",
    "github_version": "main",
    "doc_path": "docs",
}
html_theme_options = {
    "logo": {"text": "sksegment"},
    "github_url": repository,
    "use_edit_page_button": True,
    "header_links_before_dropdown": 5,
    "navbar_start": ["navbar-logo", "version-switcher"],
    "switcher": {
        "json_url": f"{html_baseurl}_static/switcher.json",
        "version_match": "dev" if "dev" in release else release,
    },
    "check_switcher": False,  # it asks the network
    "show_toc_level": 2,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc", "edit-this-page"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": [], "changelog": [], "404": []}

# Previews, the map for search engines, and checks of links
ogp_site_url = html_baseurl
ogp_image = f"{html_baseurl}_images/quickstart.png"
ogp_social_cards = {"enable": False}  # the picture says more than a drawn title
sitemap_url_scheme = "{link}"
sitemap_excludes = ["404.html", "search.html", "genindex.html", "py-modindex.html"]
linkcheck_ignore = [rf"{repository}/(blob|edit|tree)/.*"]  # each commit makes new ones
linkcheck_anchors = False  # code hosts draw theirs with JavaScript


def linkcode_resolve(domain, info):
    return source_address(domain, info, repository)

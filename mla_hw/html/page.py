"""The page: style, navigation, sections and scripts in one file that needs no other."""

from collections.abc import Sequence
from importlib import resources

from mla_hw.html.markup import Raw, Section, element, join, text_of

__all__ = ["page_text"]

#: Nothing is loaded from anywhere; images are those that Plotly makes for a download.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


def page_text(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title, subtitle : str
    sections : sequence of Section
        In their order.
    """
    # Takes a second, and no other command needs it.
    from plotly.offline import get_plotlyjs

    nav = element(
        "nav",
        join(element("a", section.title, href=f"#{section.name}") for section in sections),
        aria_label="Sections",
    )
    header = element("header", join((element("h1", title), element("p", subtitle))))
    main = element("main", join(map(_section, sections)))
    scripts = join(element("script", Raw(text)) for text in (get_plotlyjs(), _file("page.js")))
    policy = text_of(_POLICY)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{element('title', f'{title} – mla-hw')}\n"
        f"<style>\n{_file('page.css')}</style>\n</head>\n"
        f"<body>\n{nav}\n{header}\n{main}\n{scripts}\n</body>\n</html>\n"
    )


def _section(section: Section) -> Raw:
    body = join((element("h2", section.title), section.body))
    return Raw(f"{element('section', body, id=section.name)}\n")


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")

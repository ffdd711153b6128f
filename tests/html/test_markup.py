"""Escaping, numbers and embedded data."""

import json

import pytest

from mla_hw.html.markup import Column, Raw, bar, data, element, number, paragraph, share, table

EVIL = "<script>alert('x')</script> & \"more\""


def test_text_is_escaped_once():
    inner = element("b", EVIL)
    assert "<script>" not in inner
    assert inner == (
        "<b>&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;more&quot;</b>"
    )
    assert paragraph(inner, EVIL).count("&lt;script&gt;") == 2
    assert "&amp;lt;" not in paragraph(inner)


def test_attributes_are_escaped():
    assert element("p", "", title=EVIL, class_="a", data_kind=None) == (
        '<p title="&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;more&quot;" '
        'class="a"></p>'
    )


def test_tables_escape_what_is_in_them():
    made = table([Column(EVIL, "text"), Column("n")], [(EVIL, Raw("<b>1</b>"))], caption=EVIL)
    assert "<script>" not in made
    assert '<td class="number"><b>1</b></td>' in made


def test_data_cannot_end_its_element():
    made = data("name", {"text": f"</script><!-- {EVIL}"})
    inner = made.removeprefix('<script type="application/json" id="name">')
    inner = inner.removesuffix("</script>")
    assert not {"<", ">", "&"} & set(inner)
    assert json.loads(inner) == {"text": f"</script><!-- {EVIL}"}
    with pytest.raises(ValueError, match="JSON"):
        data("name", [float("nan")])


@pytest.mark.parametrize(
    ("value", "decimals", "wanted"),
    [(0, 0, "0"), (1234567, 0, "1 234 567"), (999, 0, "999"), (1234.5678, 2, "1 234.57")],
)
def test_numbers(value, decimals, wanted):
    assert number(value, decimals) == wanted.replace(" ", "\u202f")


def test_nothing_is_a_dash():
    assert number(None) == "–"
    assert share(0.98765) == "98.8\u202f%"


def test_parts_of_a_bar_fill_it():
    made = bar([("one", 3, "busy"), ("none", 0, "waits"), ("two", 1, "rest")], 4, "what")
    assert made.count("<span") == 2
    assert "width:75.0000%" in made
    assert "width:25.0000%" in made

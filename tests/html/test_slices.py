"""Where instructions are shown that overlap."""

from mla_hw.html.slices import shown_spans


def test_waits_and_overlaps():
    spans = [(3, 20), (8, 26), (30, 35), (31, 35)]
    assert list(shown_spans(spans)) == [
        ((0, 3), (3, 20)),
        ((20, 20), (20, 26)),
        ((26, 30), (30, 35)),
        ((35, 35), (35, 35)),
    ]


def test_begin():
    assert list(shown_spans([(0, 2), (4, 5)], 100)) == [
        ((100, 100), (100, 102)),
        ((102, 104), (104, 105)),
    ]

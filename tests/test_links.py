"""The checker of the site's links finds what is broken; `make docs` runs it over the site."""

from tests.links import broken_links, names_of, names_without_a_page, public_names


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">A</h1><a href="sub/b.html#there">b</a><a href="#top">up</a>'
        '<a href="https://example.org/x#y">away</a><img src="lost.png">'
        '<a href="sub/b.html#absent">no place</a><a href="c%20d.html">c</a>'
    )
    (tmp_path / "sub" / "b.html").write_text('<p id="there"><a href="../index.html">a</a></p>')
    (tmp_path / "c d.html").write_text("")
    assert broken_links(tmp_path) == [
        "index.html: there is no lost.png",
        "index.html: there is no place sub/b.html#absent",
    ]


def test_a_name_counts_where_it_is_documented_under_that_of_its_home(tmp_path):
    assert {"qsnn_plugins.inject", "qsnn_plugins.nn.TETLoss"} <= public_names()
    assert "qsnn_plugins.injection.inject" in names_of("qsnn_plugins.inject")
    (tmp_path / "a.html").write_text('<dt id="qsnn_plugins.injection.inject">inject</dt>')
    missing = names_without_a_page(tmp_path)
    assert "qsnn_plugins.inject" not in missing
    assert "qsnn_plugins.nn.TETLoss" in missing

"""What a distribution says of itself, beside what the standard library reads of it."""

from importlib.metadata import PathDistribution, distributions

from tunesmith_library_configuration.strays import described


def test_it_is_what_the_standard_library_reads():
    for distribution in list(distributions())[:20]:
        mine, whole = described(distribution), distribution.metadata
        assert mine is not None
        for name in ("Name", "Version", "Requires-Dist"):
            assert mine.get_all(name) == whole.get_all(name)


def test_of_one_that_is_half_there_nothing_is_known(tmp_path):
    assert described(PathDistribution(tmp_path)) is None
    (tmp_path / "METADATA").write_text("")
    (tmp_path / "PKG-INFO").write_text("Name: old\nVersion: 1\n\nAbout it.\n\nName: not this\n")
    found = described(PathDistribution(tmp_path))
    assert found is not None and found.get_all("Name") == ["old"]

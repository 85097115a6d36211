"""Published results change only when the figures do."""

from __future__ import annotations

from verification import published


def test_the_same_results_change_no_byte(tmp_path):
    path = tmp_path / "results.json.xz"
    published.write(path, '{"cells": 1}')
    before = path.stat()

    published.write(path, '{"cells": 1}')

    assert path.stat() == before
    assert published.read(path) == {"cells": 1}


def test_new_results_take_the_place_of_the_old_ones(tmp_path):
    path = tmp_path / "results.json.xz"
    published.write(path, '{"cells": 1}')

    published.write(path, '{"cells": 2}')

    assert published.read(path) == {"cells": 2}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_where_nothing_was_published_there_is_nothing(tmp_path):
    assert published.read(tmp_path / "results.json.xz") is None

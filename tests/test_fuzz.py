"""The first files of `make fuzz` for each format: whatever the bytes, a file is read or refused, at once and in little memory."""

import fuzz
import pytest

FILES = 250
"""The same ones on every machine, and those that once failed."""


@pytest.mark.parametrize("name", fuzz.FORMATS)
def test_a_file_that_is_nearly_right_is_read_or_refused(name):
    ends, wrong = fuzz.fuzz(name, least=FILES)
    assert not wrong, {ended: data[:200] for ended, data in wrong.items()}
    assert ends["refused"] + ends["read"] >= FILES, ends

def test_plain():
    pass


import pytest

def test_spaced():
    pass

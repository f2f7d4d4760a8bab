def test_here():
    pass


def test_only_a():
    pass

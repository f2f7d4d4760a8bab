"""Fixtures of every scope, and parametrization by class and module."""

import unittest

import pytest

calls = []


def setup_module(module):
    calls.append("module")


@pytest.fixture(scope="session")
def session_thing():
    yield "session"


@pytest.fixture(scope="package", autouse=True)
def package_thing():
    yield "package"


@pytest.fixture(scope="module", params=["x", "y"])
def module_param(request, session_thing):
    yield request.param


@pytest.fixture(scope="class")
def class_thing(module_param):
    yield module_param


@pytest.fixture
def dynamic(request):
    return request.getfixturevalue("late_thing")


@pytest.fixture(scope="module")
def late_thing():
    yield "late"


class TestClass:
    def test_one(self, class_thing):
        assert calls == ["module"]

    def test_two(self, class_thing, dynamic):
        assert dynamic == "late"

    class TestInner:
        def test_inner(self, class_thing):
            pass


def test_function(class_thing):
    pass


@pytest.mark.parametrize("n", [1, 2], scope="module")
def test_module_parameter(n, session_thing):
    pass


@pytest.mark.parametrize("n", [1, 2], scope="class")
class TestClassParameter:
    def test_a(self, n):
        pass

    def test_b(self, n):
        pass


class UnitTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ready = True

    def setUp(self):
        self.own = True

    def test_ready(self):
        self.assertTrue(self.ready and self.own)

    def test_subtests(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertNotEqual(i, 1)

    @unittest.skip("not now")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail("as expected")


class UnitError(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("no class today")

    def test_never(self):
        pass

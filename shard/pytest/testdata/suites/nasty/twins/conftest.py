"""Tests that share a node ID, as some plugins' do."""

import pytest


class Twin(pytest.Item):
    def __init__(self, *, good, **kwargs):
        super().__init__(**kwargs)
        self.good = good

    def runtest(self):
        assert self.good

    def reportinfo(self):
        return self.path, 0, self.name


class Twins(pytest.File):
    def collect(self):
        for good in (True, False, True, False):
            yield Twin.from_parent(self, name="twin", good=good)
        yield Twin.from_parent(self, name="single", good=True)


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".twins":
        return Twins.from_parent(parent, path=file_path)

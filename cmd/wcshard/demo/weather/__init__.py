"""A small weather package: just enough to have a test suite worth splitting."""

# -*- coding: latin-1 -*-
import unittest


class TestCase(unittest.TestCase):
	def test_unit(self):
		pass

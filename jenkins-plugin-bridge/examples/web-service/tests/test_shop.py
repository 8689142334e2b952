import unittest

from shop import with_tax


class WithTax(unittest.TestCase):
    def test_adds_the_tax(self):
        self.assertEqual(with_tax(1000, 19), 1190)

    def test_rounds_half_up(self):
        self.assertEqual(with_tax(50, 19), 60)

    def test_no_tax(self):
        self.assertEqual(with_tax(999, 0), 999)

    def test_refuses_negative_prices(self):
        with self.assertRaises(ValueError):
            with_tax(-1, 19)


if __name__ == "__main__":
    unittest.main()

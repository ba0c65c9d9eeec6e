"""What every other test leans on."""

import random
import unittest

from harness import free_ports, main


class Harness(unittest.TestCase):
    def test_no_port_is_given_twice(self):
        """A broker that starts after its agent had its ports lost one of them to it."""
        self.addCleanup(random.seed)
        random.seed(1)
        first = free_ports(3)
        random.seed(1)
        self.assertEqual(set(first) & set(free_ports(3)), set())


if __name__ == "__main__":
    main()

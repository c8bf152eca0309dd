"""`tortie node` whose rules for Log the kernel does not take."""

import sys

from tortie.cli.node import node
from tortie.dataplane.render import rules

if __name__ == "__main__":
    rules.logged = lambda listed, manner: "jump nowhere"
    node(sys.argv[1:])

"""`python -m gateway`: one gateway node."""

import resource

from fanfare.service import run
from gateway.node import main

if __name__ == "__main__":
    # One descriptor a client: the soft limit of 1024 that many systems begin with is not meant for servers.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run("gateway", main)

"""`python -m gateway`: one gateway node."""

from fanfare.service import run
from gateway.node import main

if __name__ == "__main__":
    run("gateway", main)

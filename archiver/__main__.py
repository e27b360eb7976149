"""`python -m archiver`."""

from archiver.worker import main
from fanfare.service import run

run("archiver", main)

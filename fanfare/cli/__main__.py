"""`python -m fanfare.cli`, which is how `fanfare up --detach` starts itself in the background."""

from fanfare.cli import main

main()

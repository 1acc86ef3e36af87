"""`python -m headrace.cli`: the command `headrace`."""

from headrace.cli.program import main

main()

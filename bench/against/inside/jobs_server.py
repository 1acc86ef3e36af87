"""Starts the jobs server of the checkout that it runs in, and has it called: `jobs_server.py <database url>`.

Prints the server's process id. Then each line of its input is the arguments of one load, and each line of its output
what that measured, as JSON objects.
"""

import json
import sys

from bench.rpc.program import JobsServerProgram

with JobsServerProgram(sys.argv[1]) as program:
    sys.stdout.write(f"{program._process.pid}\n")  # noqa: SLF001  (the other checkout's class has no name for it)
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(program.load(**json.loads(line))) + "\n")
        sys.stdout.flush()

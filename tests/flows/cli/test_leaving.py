"""How the process of `dagmm` ends: all that has to be done is done, and nothing is taken down."""

import subprocess
import sys

import pytest

PROBE = """
import atexit, sys, threading, time
import flows.cli
import flows.cli.commands

class Held:
    def __del__(self):
        print("taken down")

def slow():
    time.sleep(0.3)
    print("thread done")

def run():
    flows.cli.held = Held()
    atexit.register(print, "handler called")
    threading.Thread(target=slow).start()
    sys.stdout.write("no line end")
    {end}

flows.cli.commands.main = run
flows.cli.main()
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("sys.exit()", 0),
        ("sys.exit(3)", 3),
        ("sys.exit('a message')", 1),
        ("raise ValueError('a defect')", 1),
    ],
)
def test_threads_and_handlers_are_waited_for_and_the_code_is_that_of_the_command(end, code):
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(end=end)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == "no line endthread done\nhandler called\n"
    assert ("a message" in done.stderr) == ("message" in end)
    assert ("ValueError: a defect" in done.stderr) == ("defect" in end)

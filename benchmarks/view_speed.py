"""Time of `inscape view` for 100 runs of 10⁶ rows each: the first paint, and the list of the runs.

    python -m benchmarks.view_speed [--runs 100] [--rows 1000000]

The command runs in a fresh process. Given are seconds until its address is printed, of the first page, of the first
answer with all runs and of the second, by the clock and in processor time of the server; and, where there is a headless
browser, its first contentful paint and when the list is there, in a browser that has just opened its first page. The
exit code is 1 where the list takes more than 2 s of processor time (what other processes take falls out) or the paint
comes after 1 s.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.list_runs import make_runs
from tests.browser import DESKTOP, Browser, find_browser

PAINT_SECONDS, LIST_SECONDS = 1.0, 2.0


def processor_seconds(pid: int) -> float:
    """Returns the processor time of a process, all threads together (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        make_runs(Path(place), given.runs, given.rows)
        began = time.perf_counter()
        command = [sys.executable, "-u", "-m", "inscape", "view", "runs", "--no-open", "--port", "0"]
        server = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True)
        try:
            return measure(server, began, given)
        finally:
            server.terminate()
            server.wait()


def measure(server: Any, began: float, given: Any) -> int:
    """Prints what was measured, and returns the exit code: 1 where a bar is missed."""
    url = ""
    while not url:
        line = server.stdout.readline()
        assert line, "the server has ended"
        if found := re.search(r"http://\S+token=\S+", line):
            url = found.group()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {given.runs} runs of {given.rows:,} rows")
    print(f"until the address is printed: {time.perf_counter() - began:.2f} s "
          f"({processor_seconds(server.pid):.2f} s of processor time)")  # fmt: skip
    root, token = url.split("/?token=")

    def timed(what: str, call: Callable[[], Any]) -> tuple[Any, float]:
        before, cpu = time.perf_counter(), processor_seconds(server.pid)
        answer = call()
        seconds = time.perf_counter() - before
        spent = processor_seconds(server.pid) - cpu
        print(f"{what}: {seconds:.2f} s ({spent:.2f} s of the server's processor time)")
        return answer, spent

    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"{root}{path}?token={token}") as answer:
            return bytes(answer.read())

    page, _ = timed("first page", lambda: get("/"))
    listed, spent = timed("list of all runs, first", lambda: get("/api/runs"))
    timed("list of all runs, again", lambda: get("/api/runs"))
    count = len(json.loads(listed)["runs"])
    print(f"page of {len(page) / 1000:.0f} kB; {count} runs in {len(listed) / 1000:.0f} kB")
    bad = count != given.runs or spent > LIST_SECONDS
    if find_browser() is None:
        print("first paint: not measured (no headless browser)")
    else:
        with Browser() as browser:
            browser.look(DESKTOP)
            browser.open(url)
            browser.wait("document.querySelector('#view').dataset.ready")
            browser.wait(f"document.querySelectorAll('.runs tbody tr').length == {given.runs}")
            paint = browser.ask("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
            shown = browser.ask("performance.now()") / 1000
            print(f"first contentful paint: {paint:.2f} s; all runs shown: {shown:.2f} s")
            bad = bad or paint > PAINT_SECONDS or bool(browser.problems)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

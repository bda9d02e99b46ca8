"""The C modules built again with AddressSanitizer and UndefinedBehaviorSanitizer, and a piece of Python run on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLAGS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-fno-omit-frame-pointer")
IN_C = ("swarm/_peers", "network/_batch", "network/_http")


def run_sanitized(code: str, *, into: Path) -> None:
    """Run ``code`` on a copy of the package in an empty folder; AssertionError with what it, or a sanitizer, said."""
    package = into / "meshtracker"
    shutil.copytree(ROOT / "meshtracker", package)
    suffix, include = sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_paths()["include"]
    for name in IN_C:
        built = ["-shared", "-fPIC", f"-I{include}", str(package / f"{name}.c"), "-o", str(package / f"{name}{suffix}")]
        subprocess.run(["gcc", *FLAGS, *built], check=True, timeout=60)
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    environment = {
        "PYTHONPATH": f"{into}:{ROOT}",
        "LD_PRELOAD": runtime.stdout.strip(),
        # The interpreter keeps some of what it allocated, and its own allocator would hide overruns.
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=into,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]

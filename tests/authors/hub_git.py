"""Models and data sets in repositories of a git server: `default_hub: git.py:Git` in a configuration."""

import os
import subprocess
from pathlib import Path

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.files import replacing


@plugin
class Git:
    """Clone `owner/name` from the server, once for each commit."""

    guarded = ("server", "cache")
    server: str = "https://huggingface.co"  # address in front of owner/name
    cache: str = "~/.cache/tunesmith-git"  # folder of the clones

    @hookimpl
    def fetch(self, address, revision):
        url = f"{self.server}/{address}"
        found = self._git(address, "ls-remote", "--", url, revision or "HEAD").split()
        if not found:
            raise TunesmithError(f"{url} has no revision {revision}.\nsee what there is: git ls-remote {url}")
        folder = Path(self.cache).expanduser() / address / found[0]
        if not folder.exists():
            branch = ["--branch", revision] if revision else []
            with replacing(folder) as draft:
                self._git(address, "clone", "--quiet", "--depth=1", *branch, "--", url, str(draft))
        return folder

    def _git(self, address, *words):
        silent = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(["git", *words], capture_output=True, text=True, env=silent)
        if done.returncode:
            raise TunesmithError(f"{address} cannot be had from {self.server}.\n{done.stderr.strip()}")
        return done.stdout

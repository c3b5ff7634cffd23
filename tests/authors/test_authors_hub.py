import subprocess

import pytest
from hub_git import Git
from tunesmith_library_testing import HubSuite


def git(folder, *words):
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", "-C", folder, *words], check=True, timeout=60)


class TestGit(HubSuite):
    plugin = Git
    one_file = True

    @pytest.fixture
    def publish(self, tmp_path, monkeypatch):
        server = tmp_path / "server"
        monkeypatch.setattr(type(self), "options", {"server": f"file://{server}", "cache": str(tmp_path / "cache")})

        def publish(folder):
            (folder / "README.md").write_text("a repository")
            git(folder, "init", "--quiet", "--initial-branch=main")
            git(folder, "add", ".")
            git(folder, "commit", "--quiet", "--message=all")
            git(folder, "tag", "v1")
            (server / "somebody").mkdir(parents=True)
            folder.rename(server / "somebody" / "something")
            return "somebody/something"

        return publish

    def test_revisions(self, publish, tmp_path):
        (tmp_path / "published").mkdir()
        address = publish(tmp_path / "published")
        fetched = self.manager().hook.fetch(address=address, revision="v1")
        assert (fetched / "README.md").read_text() == "a repository"
        with pytest.raises(Exception, match="has no revision v2"):
            self.manager().hook.fetch(address=address, revision="v2")

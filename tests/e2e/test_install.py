"""What `make install` puts where, and what the units in it are worth."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.daemon_process import environment

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
MOST_EXPOSED = 1.1

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that `make install` has filled."""
    folder = tmp_path_factory.mktemp("root")
    make("install", folder)
    return folder


def make(target: str, folder: Path) -> None:
    subprocess.run(
        ["make", "--silent", target, f"DESTDIR={folder}", "PREFIX=/usr"],
        cwd=ROOT,
        env=environment(),
        check=True,
        timeout=110,
    )


def files(root: Path) -> set[str]:
    """What is in a tree, without the environment that holds the packages."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("usr/lib/tokligenced/")}


def test_the_tree(root: Path) -> None:
    """Launcher, example, units and user are where systemd and people look for them, and name each other."""
    units = "usr/lib/systemd/system"
    assert files(root) == {
        "usr/bin/tokligenced",
        "etc/tokligenced/config.example.toml",
        "usr/lib/sysusers.d/tokligenced.conf",
        *(f"{units}/{unit.name}" for unit in UNITS.iterdir() if unit.suffix != ".sysusers"),
    }
    texts = "".join((root / units / unit.name).read_text() for unit in UNITS.glob("*.service"))
    assert set(re.findall(r"^Exec\w+=(\S+)", texts, re.MULTILINE)) == {"/usr/bin/tokligenced"}


def test_the_launcher_runs(root: Path) -> None:
    """The installed gateway runs with what was installed, not with what lies in the project."""
    launcher = (root / "usr/bin/tokligenced").read_text()
    staged = launcher.replace('exec "', f'exec "{root}')
    told = subprocess.run(
        ["sh", "-c", staged, "tokligenced", "--version"], capture_output=True, cwd=root, check=True
    )
    assert told.stdout.startswith(b"tokligenced ")


@analyze
def test_the_units_are_valid(root: Path, tmp_path: Path) -> None:
    """The machine's own systemd finds nothing to say about the units."""
    for unit in (root / "usr/lib/systemd/system").iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/tokligenced", "/bin/true"))
    paths = sorted(tmp_path.iterdir())
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    ours = [line for line in told.stderr.splitlines() if "tokligenced" in line]
    assert (ours, len(paths)) == ([], 4)


@analyze
@pytest.mark.parametrize("unit", ["tokligenced.service", "tokligenced-backup.service"])
def test_the_exposure(unit: str) -> None:
    """By systemd's own measure the services are hardly exposed."""
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / unit],
        capture_output=True,
        text=True,
        check=True,
    )
    level = re.search(r"exposure level for \S+: ([\d.]+)", told.stdout)
    assert level is not None
    assert float(level[1]) <= MOST_EXPOSED


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_the_user(root: Path) -> None:
    """The file for systemd-sysusers makes the user that the units name."""
    (root / "etc").mkdir(exist_ok=True)
    subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True)
    users = (root / "etc/passwd").read_text()
    assert re.search(r"^tokligenced:.*:/var/lib/tokligenced:/usr/sbin/nologin$", users, re.MULTILINE)
    services = [(UNITS / name).read_text() for name in ("tokligenced.service", "tokligenced-backup.service")]
    assert all("\nUser=tokligenced\n" in service for service in services)


def test_uninstall(tmp_path: Path, root: Path) -> None:
    """Uninstalling takes all of it away again, and nothing that is the operator's."""
    mine = tmp_path / "copy"
    shutil.copytree(root, mine, symlinks=True)
    config = mine / "etc/tokligenced/config.toml"
    config.write_text("mine")
    shutil.rmtree(mine / "etc/sysusers.d", ignore_errors=True)
    make("uninstall", mine)
    left = {name for name in files(mine) if "tokligenced" in name}
    assert left == {"etc/tokligenced/config.toml"}
    assert not (mine / "usr/lib/tokligenced").exists()

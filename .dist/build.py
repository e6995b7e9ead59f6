"""Makes dist/tokligenced of the packages in a folder and the Python that runs this: `build.py SITE TARGET`.

What it is and why stands in launcher.c. It takes a C compiler, `strip`, and a shared libpython with headers.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
STDLIB = Path(sysconfig.get_path("stdlib"))

# Of the standard library: what no daemon imports.
LEFT_OUT = {
    "__pycache__",
    "config-*",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "lib-dynload",
    "pydoc_data",
    "site-packages",
}
LEFT_OUT |= {
    "dist-packages",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "venv",
    "*.a",
    "*.so",
    "*.exe",
}
LEFT_OUT_NATIVE = re.compile(
    r"_test|_xx|xx|_tkinter|_curses|readline|_ctypes_test|_dbm|_gdbm|nis|ossaudio|spwd"
)

# Parts of glibc, which any system has and none may have twice.
GLIBC = re.compile(r"(linux-vdso|ld-linux[-\w]*|lib(c|m|dl|pthread|rt|util|resolv)(-[\d.]+)?)\.so")
LINKED = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)


def main(site: Path, target: Path) -> None:
    """Collect, compile, link, and put the zip behind it."""
    with tempfile.TemporaryDirectory(prefix="tokligenced-dist-") as work:
        tree = Path(work) / "tree"
        shutil.copytree(STDLIB, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.copytree(
            site,
            tree,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "bin", "*.c", "*.pyx"),
        )
        for module in sorted((STDLIB / "lib-dynload").glob("*.so")):
            if not LEFT_OUT_NATIVE.match(module.name):
                shutil.copy(module, tree)
        libraries = Path(work) / "libraries"
        libraries.mkdir()
        header = collect(natives(tree), libraries)
        (libraries / "libraries.h").write_text(header)
        places = {
            name: f"/proc/self/exe/{path.relative_to(tree)}"
            for path in natives(tree)
            for name in [called(path, tree)]
        }
        (tree / "_native.py").write_text(f"MODULES = {places!r}\n")
        shutil.copy(HERE / "start.py", tree / "__main__.py")
        strip(*natives(tree))
        # By hash and unchecked: the file is as it was made. Next to the sources, which stay behind.
        compileall.compile_dir(
            tree,
            quiet=2,
            legacy=True,
            stripdir=str(tree),
            workers=os.cpu_count(),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(target.name + ".new")
        compiler = os.environ.get("CC", "cc")
        include = sysconfig.get_path("include")
        subprocess.run(
            [
                compiler,
                "-O2",
                "-Wall",
                "-Werror",
                "-s",
                f"-I{include}",
                f"-I{libraries}",
                HERE / "launcher.c",
                "-o",
                fresh,
            ],
            check=True,
        )
        with zipfile.ZipFile(
            fresh, "a"
        ) as archive:  # not compressed: unpacking would need a module out of it
            for path in sorted(tree.rglob("*")):
                if path.is_file() and path.suffix != ".py":
                    name = str(path.relative_to(tree))
                    archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
        fresh.replace(target)


def natives(tree: Path) -> list[Path]:
    """All extension modules below a folder."""
    return sorted(path for path in tree.rglob("*.so") if ".libs/" not in str(path))


def called(path: Path, tree: Path) -> str:
    """An extension module's name."""
    return ".".join((*path.relative_to(tree).parent.parts, path.name.partition(".")[0]))


def collect(modules: list[Path], folder: Path) -> str:
    """Copy the libraries that modules and interpreter need; the text that includes them in order."""
    python = libpython()
    needed = {path for module in (*modules, python) for path in linked(module)} - {python}
    # Who needs another needs all that the other needs, so has more.
    ordered = [*sorted(needed, key=lambda path: (len(linked(path)), path)), python]
    lines = []
    for path in ordered:
        copy = folder / path.name
        shutil.copy(path, copy)
        copy.chmod(0o644)
        strip(copy)
        lines.append(f'LIBRARY({re.sub(r"[^A-Za-z0-9]", "_", path.name)}, "{copy}")\n')
    return "".join(lines)


def libpython() -> Path:
    """The interpreter as a shared library."""
    name = sysconfig.get_config_var("INSTSONAME")
    folder = Path(sysconfig.get_config_var("LIBDIR"))
    for place in (folder, folder / str(sysconfig.get_config_var("MULTIARCH"))):
        if (place / name).is_file() and ".so" in name:
            return place / name
    sys.exit(f"this Python has no shared library {name}: Debian has it in libpython3-dev")


def linked(path: Path) -> set[Path]:
    """The libraries that one needs, those they need included, without glibc's."""
    told = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
    return {Path(place) for name, place in LINKED.findall(told) if not GLIBC.match(name)}


def strip(*paths: Path) -> None:
    """Take out what only debuggers read."""
    for path in paths:
        subprocess.run(["strip", "--strip-unneeded", path], check=True)


main(Path(sys.argv[1]), Path(sys.argv[2]))

"""`__main__` of the one file: native modules are loaded from memory, then the command line runs."""

import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import ModuleType

from _native import MODULES  # made by build.py: name → place in the zip

ARCHIVE = __loader__


class Loader(ExtensionFileLoader):
    """Loads an extension module that stands in the zip."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Hand it to the dynamic linker from a file in memory."""
        # The descriptor stays open: the linker takes two libraries of one path for the same one.
        descriptor = os.memfd_create(spec.name, os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(ARCHIVE.get_data(self.path))
        spec.origin = f"/proc/self/fd/{descriptor}"
        return super().create_module(spec)


class Finder:
    """Finds the extension modules that stand in the zip."""

    @staticmethod
    def find_spec(name: str, *_where: object) -> ModuleSpec | None:
        """Where the module is; None leaves it to the next finder."""
        place = MODULES.get(name)
        return place and ModuleSpec(name, Loader(name, place), origin=place)


sys.meta_path.insert(0, Finder)

from tokligenced.cli import main  # noqa: E402 - it needs the finder

sys.exit(main())

"""Configurations written to real files, and the one shape that every refusal has."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tokligenced.config import Config, ConfigErrors
from tokligenced.config import load as load_config

Load = Callable[..., Config]
Refused = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes `config.toml` and, by name, files into `conf.d`; gives the main file's path."""

    def write_files(text: str, drop_ins: Mapping[str, str] | None = None) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        for name, content in (drop_ins or {}).items():
            (tmp_path / "conf.d").mkdir(exist_ok=True)
            (tmp_path / "conf.d" / name).write_text(content)
        return path

    return write_files


@pytest.fixture
def load(write: Callable[..., Path]) -> Load:
    """Loads a configuration from texts."""

    def load_text(
        text: str,
        drop_ins: Mapping[str, str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        secrets: bool = True,
    ) -> Config:
        return load_config(write(text, drop_ins), environ or {}, secrets=secrets)

    return load_text


@pytest.fixture
def refused(load: Load, tmp_path: Path) -> Refused:
    """Asserts that texts are refused in the one form; gives `FILE: path: reason` lines, FILE relative.

    No line may hold one of `hidden`, nor may anything that hangs on the exceptions.
    """

    def refuse(
        text: str,
        drop_ins: Mapping[str, str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        hidden: tuple[str, ...] = (),
    ) -> list[str]:
        with pytest.raises(ConfigErrors) as caught:
            load(text, drop_ins, environ=environ)
        whole = caught.value
        assert (whole.file, whole.path) == (whole.errors[0].file, whole.errors[0].path)
        assert str(whole).startswith(str(whole.errors[0]))
        lines = []
        for error in whole.errors:
            assert Path(error.file).is_relative_to(tmp_path), "an error names its file"
            assert error.reason
            assert str(error) == ": ".join(filter(None, (error.file, error.path, error.reason)))
            assert str(error).isprintable(), "an error is one line"
            for shown in (str(error), repr(error), repr(error.__cause__), repr(error.__context__)):
                assert not any(secret in shown for secret in hidden)
            lines.append(str(error).removeprefix(f"{tmp_path}/"))
        return lines

    return refuse

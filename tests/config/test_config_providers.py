"""Providers, their keys, and that no key ever shows."""

# One case a line, however long: so the tables can be read.
# ruff: noqa: E501

from collections.abc import Callable
from pathlib import Path

import pytest

from tokligenced.config import Config, DemoSettings, ProviderSettings, Secret

Load = Callable[..., Config]
Refused = Callable[..., list[str]]

SECRET = "sk-proj-do-not-show-this"
HEAD = '[providers.p]\ntype = "openai"\n'
SAY_WHERE = (
    'providers.p.api_key: must say where the key is: { env = "NAME" }, { file = "PATH" } or'
    ' { credential = "NAME" }; to keep it in this very file: { literal = "…" }'
)
EXACTLY_ONE = "providers.p.api_key: must have exactly one of env, file, credential, literal"
NOT_A_LINE = "must be one line of printable ASCII characters"


def key_of(config: Config) -> str:
    """The key of provider `p`."""
    secret = config.providers["p"].api_key
    assert secret is not None
    return secret.reveal()


@pytest.mark.parametrize(
    ("kind", "base_url"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("deepseek", "https://api.deepseek.com"),
        ("anthropic", "https://api.anthropic.com"),
        ("gemini", "https://generativelanguage.googleapis.com"),
        ("cohere", "https://api.cohere.com"),
        ("jina", "https://api.jina.ai/v1"),
        ("voyage", "https://api.voyageai.com/v1"),
        ("demo", "demo:"),
    ],
)
def test_types(load: Load, kind: str, base_url: str) -> None:
    """A type alone is enough: it brings its address, and needs no key."""
    config = load(f'[providers."a/b"]\ntype = "{kind}"')
    assert config.providers == {"a/b": ProviderSettings(name="a/b", type=kind, base_url=base_url)}


def test_all_options(load: Load) -> None:
    """Each option lands in its field."""
    config = load(
        '[providers.p]\ntype = "azure"\nbase_url = "http://10.0.0.1:8000/prefix/"\napi_version = "2024-12-01-preview"\n'
        'api_key = { env = "K" }\non_disconnect = "drain"\nconnect_timeout = "250ms"\nidle_timeout = "2m"\n'
        'headers = { X-Team = "blue" }\nresponses = false',
        environ={"K": SECRET},
    )
    assert config.providers["p"] == ProviderSettings(
        name="p",
        type="azure",
        base_url="http://10.0.0.1:8000/prefix",
        api_key=Secret(SECRET),
        on_disconnect="drain",
        connect_timeout=0.25,
        idle_timeout=120.0,
        headers={"X-Team": "blue"},
        api_version="2024-12-01-preview",
        responses=False,
    )


def test_demo_options(load: Load) -> None:
    """The demo can be told to be slow."""
    config = load('[providers.d]\ntype = "demo"\ndemo = { first_byte = "200ms", between_chunks = 0.01 }')
    assert config.providers["d"].demo == DemoSettings(first_byte=0.2, between_chunks=0.01)


def test_azure_with_its_v1_base(load: Load) -> None:
    """Azure's v1 base needs no version."""
    config = load('[providers.p]\ntype = "azure"\nbase_url = "https://x.openai.azure.com/openai/v1/"')
    assert config.providers["p"].api_version == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[providers.p]\nbase_url = 'https://x'", "providers.p.type: is required"),
        ("[providers.p]\ntype = 'opnai'", "providers.p.type: must be one of openai, azure, anthropic, gemini, deepseek, cohere, jina, voyage, demo, not \"opnai\""),
        ("[providers.p]\ntype = 'azure'\napi_version = '1'", 'providers.p.base_url: is required for type "azure"'),
        ("[providers.p]\ntype = 'azure'\nbase_url = 'https://x'", "providers.p.api_version: is required unless base_url ends in /openai/v1"),
        ("[providers.p]\ntype = 'gemini'\nresponses = true", 'providers.p.responses: does not belong to a provider of type "gemini"'),
        (HEAD + "api_version = '1'", 'providers.p.api_version: does not belong to a provider of type "openai"'),
        (HEAD + "demo = { first_byte = 1 }", 'providers.p.demo: does not belong to a provider of type "openai"'),
        ("[providers.p]\ntype = 'demo'\nbase_url = 'https://x'", 'providers.p.base_url: does not belong to a provider of type "demo"'),
        (HEAD + f"base_url = 'https://{SECRET}@host'", "providers.p.base_url: must not hold a user name or password"),
        (HEAD + f"base_url = 'https://host?key={SECRET}'", "providers.p.base_url: must not hold a query or fragment"),
        (HEAD + "on_disconnect = 'stop'", 'providers.p.on_disconnect: must be one of cancel, drain, not "stop"'),
        (HEAD + "connect_timeout = 0", "providers.p.connect_timeout: must be longer than 0"),
        (HEAD + "responses = 'yes'", 'providers.p.responses: must be true or false, not "yes"'),
        (HEAD + f"headers = '{SECRET}'", "providers.p.headers: must be a table"),
        (HEAD + f"headers = {{ Authorization = 'Bearer {SECRET}' }}", "providers.p.headers.Authorization: holds a credential: that is what api_key is for"),
        (HEAD + f"headers = {{ X-API-Key = '{SECRET}' }}", "providers.p.headers.X-API-Key: holds a credential: that is what api_key is for"),
        (HEAD + "headers = { host = 'x' }", "providers.p.headers.host: is a header that the gateway sets itself"),
        (HEAD + "headers = { Content-Length = '5' }", "providers.p.headers.Content-Length: is a header that the gateway sets itself"),
        (HEAD + "headers = { 'a b' = 'x' }", 'providers.p.headers."a b": is no name for a header'),
        (HEAD + 'headers = { "a\\r\\nb" = "x" }', 'providers.p.headers."a\\r\\nb": is no name for a header'),
        (HEAD + f'headers = {{ a = "{SECRET}\\r\\nHost: x" }}', f"providers.p.headers.a: {NOT_A_LINE}"),
        (HEAD + "headers = { a = 5 }", "providers.p.headers.a: must be a string"),
        (HEAD + "headers = { a = '1', A = '2' }", "providers.p.headers.A: is there twice: capital letters make no difference"),
        ('[providers."a\\nb"]\ntype = "demo"', 'providers."a\\nb": a provider\'s name must be printable ASCII'),
        ('[providers.""]\ntype = "demo"', 'providers."": a provider\'s name must be printable ASCII'),
    ],
)  # fmt: skip
def test_wrong_providers(refused: Refused, text: str, line: str) -> None:
    """A provider that could not work is refused by the key at fault."""
    assert refused(text, hidden=(SECRET,)) == [f"config.toml: {line}"]


def test_a_misspelt_type_is_told_first(refused: Refused) -> None:
    """Without its type a provider's other keys are still looked at."""
    assert refused('[providers.p]\ntyp = "openai"') == [
        'config.toml: providers.p.typ: unknown key; did you mean "type"?',
        "config.toml: providers.p.type: is required",
    ]


def test_key_from_the_environment(load: Load) -> None:
    """`env` names a variable; white space around its value goes."""
    config = load(HEAD + 'api_key = { env = "OPENAI_API_KEY" }', environ={"OPENAI_API_KEY": f" {SECRET}\n"})
    assert key_of(config) == SECRET
    assert config.warnings == ()


def test_key_from_a_file(load: Load, tmp_path: Path) -> None:
    """`file` is relative to the configuration's folder, also when a drop-in says it."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "openai").write_text(SECRET + "\n")
    assert key_of(load(HEAD + 'api_key = { file = "secrets/openai" }')) == SECRET
    assert key_of(load(HEAD + f'api_key = {{ file = "{tmp_path}/secrets/openai" }}')) == SECRET
    assert key_of(load("", {"p.toml": HEAD + 'api_key = { file = "secrets/openai" }'})) == SECRET


def test_key_from_a_credential(load: Load, tmp_path: Path) -> None:
    """`credential` is a file in the folder that systemd names."""
    (tmp_path / "openai").write_text(SECRET)
    config = load(
        HEAD + 'api_key = { credential = "openai" }', environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}
    )
    assert key_of(config) == SECRET


def test_key_in_the_file_itself(load: Load, tmp_path: Path) -> None:
    """`literal` works, and warns."""
    config = load(HEAD + f'api_key = {{ literal = "{SECRET}" }}')
    assert key_of(config) == SECRET
    (warning,) = config.warnings
    assert warning.startswith(f"{tmp_path / 'config.toml'}: providers.p.api_key: the key stands in the file")


def test_keys_are_not_looked_up_for_commands(load: Load, refused: Refused) -> None:
    """Without secrets nothing needs to be there, yet what is written must make sense."""
    text = HEAD + 'api_key = { env = "NOT_SET" }\n'
    assert load(text, secrets=False).providers["p"].api_key is None
    assert refused(text) == [
        "config.toml: providers.p.api_key.env: the environment variable NOT_SET is not set"
    ]


@pytest.mark.parametrize(
    ("api_key", "line"),
    [
        (f'"{SECRET}"', SAY_WHERE),
        ("5", "providers.p.api_key: must be an array of tables"),
        (f'["{SECRET}"]', "providers.p.api_key: must be an array of tables"),
        ("{ }", EXACTLY_ONE),
        (f'{{ env = "SET", literal = "{SECRET}" }}', EXACTLY_ONE),
        ('{ env = "ABSENT" }', "providers.p.api_key.env: the environment variable ABSENT is not set"),
        ('{ env = "EMPTY" }', "providers.p.api_key.env: the environment variable EMPTY is empty"),
        ('{ env = "TWO_LINES" }', f"providers.p.api_key.env: the environment variable TWO_LINES {NOT_A_LINE}"),
        (f'{{ env = "{SECRET}" }}', "providers.p.api_key.env: must be the name of an environment variable, of letters, digits and _"),
        ("{ env = 5 }", "providers.p.api_key.env: must be a string"),
        ('{ file = "absent" }', 'providers.p.api_key.file: "absent" can\'t be read: No such file or directory'),
        ('{ file = "empty" }', 'providers.p.api_key.file: "empty" is empty'),
        ('{ file = "binary" }', f'providers.p.api_key.file: "binary" {NOT_A_LINE}'),
        ('{ file = "" }', "providers.p.api_key.file: must not be empty"),
        ('{ file = "~no-such-user/x" }', 'providers.p.api_key.file: "~no-such-user/x": there is no such home folder'),
        ('{ credential = "absent" }', 'providers.p.api_key.credential: the credential "absent" can\'t be read: No such file or directory'),
        ('{ credential = "../x" }', "providers.p.api_key.credential: must be a credential's name, without slashes"),
        ('{ literal = "" }', "providers.p.api_key.literal: the literal is empty"),
        (f'{{ literal = "{SECRET}\\n{SECRET}" }}', f"providers.p.api_key.literal: {NOT_A_LINE}"),
        (f'{{ literal = ["{SECRET}"] }}', "providers.p.api_key.literal: must be a string"),
    ],
)  # fmt: skip
def test_wrong_keys(refused: Refused, tmp_path: Path, api_key: str, line: str) -> None:
    """A key that can't be had is refused by naming where it was looked for, never what was found."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff\xfe")
    environ = {
        "SET": "x",
        "EMPTY": " ",
        "TWO_LINES": f"{SECRET}\n{SECRET}",
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }
    (only,) = refused(f"{HEAD}api_key = {api_key}", environ=environ, hidden=(SECRET,))
    assert only.startswith(f"config.toml: {line}")


def test_credentials_without_systemd(refused: Refused) -> None:
    """Outside systemd it is said who would set the folder."""
    (only,) = refused(HEAD + 'api_key = { credential = "openai" }')
    assert only.startswith(
        "config.toml: providers.p.api_key.credential: $CREDENTIALS_DIRECTORY is not set: systemd"
    )


def test_secrets_do_not_show(load: Load) -> None:
    """Printing a configuration, or anything in it, shows no key."""
    config = load(HEAD + f'api_key = {{ literal = "{SECRET}" }}')
    secret = config.providers["p"].api_key
    assert f"{secret} {secret!r}" == "Secret(***) Secret(***)"
    assert SECRET not in f"{config} {config!r} {config.warnings} {config.origins} {vars(Secret)}"
    assert {secret} == {Secret(SECRET)}
    assert secret != SECRET


def test_several_keys_are_used_in_turn(load: Load) -> None:
    """An array of keys is one account's; each says where it is as a single one does."""
    text = f'{HEAD}api_key = [{{ env = "ONE" }}, {{ env = "TWO" }}, {{ env = "THREE" }}]\n'
    settings = load(text, environ={"ONE": "1", "TWO": "2", "THREE": "3"}).providers["p"]
    assert settings.api_key == Secret("1")
    assert settings.more_keys == (Secret("2"), Secret("3"))


def test_what_to_do_about_failures(load: Load) -> None:
    """Retries, statuses and time-outs are read in their units; what is left out does not exist."""
    plain = load(HEAD).providers["p"]
    assert (plain.retries, plain.retry_after_send, plain.fail_over_on) == (0, False, ())
    assert (plain.first_byte_timeout, plain.total_timeout) == (None, None)
    text = f'{HEAD}retries = 2\nretry_after_send = true\nfail_over_on = [404]\ntotal_timeout = "1m"\n'
    settings = load(text).providers["p"]
    assert (settings.retries, settings.retry_after_send, settings.fail_over_on) == (2, True, (404,))
    assert settings.total_timeout == 60.0


@pytest.mark.parametrize(
    "line", ["retries = -1", "fail_over_on = [200]", 'fail_over_on = "x"', "total_timeout = 0"]
)
def test_impossible_ways_to_go_on_are_refused(refused: Refused, line: str) -> None:
    """What can't be is an error naming the option."""
    (only,) = refused(f"{HEAD}{line}\n")
    assert line.split(maxsplit=1)[0] in only

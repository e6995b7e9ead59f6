"""The file that `tokligenced init` writes: it serves as it is, and shows where one's own things go."""

from pathlib import Path

_SYSTEM_DATABASE = "/var/lib/tokligenced/tokligenced.db"
_DATABASE_BESIDE = "tokligenced.db"


def starter(path: Path) -> str:
    """The content for a configuration at `path`; below `/etc`, the database goes where systemd makes room."""
    system = Path("/etc") in path.absolute().parents
    return _TEXT.replace("DATABASE", _SYSTEM_DATABASE if system else _DATABASE_BESIDE)


_TEXT = """\
# Configuration of tokligenced. It works as it is: the demo provider needs no account anywhere.
# `tokligenced check --config PATH` tells whether a change is right, `tokligenced reload` takes it.
# Lines that begin with a single # and no space are examples to be uncommented.

[server]
listen = "127.0.0.1:8081"              # "0.0.0.0:8081" to be reachable from other machines
public_url = "http://localhost:8081"   # where users reach it

[database]
path = "DATABASE"

[limits]                               # for each key that sets none of its own
requests_per_minute = 60
tokens_per_minute = 200_000
concurrency = 20

# The demo answers inside the gateway. Remove it and its model when there are others.
[providers.demo]
type = "demo"

[models."demo"]
context_window = 128_000
max_output_tokens = 16_384
free = true
deployments = [{ provider = "demo", model = "demo" }]

# A provider is an account of yours. Its key comes from the environment, from a file, or from systemd.
#[providers.openai]
#type = "openai"
#api_key = { env = "OPENAI_API_KEY" }

# A model is what clients ask for by name. Prices are in USD per million tokens.
#[models."gpt-4o-mini"]
#context_window = 128_000
#max_output_tokens = 16_384
#price = { input = "0.15", cached_input = "0.075", output = "0.60" }
#deployments = [{ provider = "openai", model = "gpt-4o-mini" }]

#[providers.anthropic]
#type = "anthropic"
#api_key = { file = "anthropic.key" }

#[models."claude-sonnet"]
#context_window = 200_000
#max_output_tokens = 64_000
#price = { input = "3.00", cached_input = "0.30", cache_write = "3.75", output = "15.00" }
#deployments = [{ provider = "anthropic", model = "claude-sonnet-4-5" }]

# Whatever speaks OpenAI's language, vendors and local servers alike, is type "openai" with its own base_url.
#[providers.local]
#type = "openai"
#base_url = "http://127.0.0.1:11434/v1"

#[models."llama"]
#context_window = 128_000
#max_output_tokens = 8_192
#free = true
#deployments = [{ provider = "local", model = "llama3.1" }]
"""

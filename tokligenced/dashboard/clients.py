"""How to point well-known clients at the gateway: title and steps, each a sentence and what to paste."""

from collections.abc import Mapping

Steps = list[tuple[str, str]]

CLIENTS: Mapping[str, tuple[str, Steps]] = {
    "claude-code": (
        "Claude Code",
        [
            (
                "Tell it where the gateway is and which key to use, then start it.",
                'export ANTHROPIC_BASE_URL="{base}"\nexport ANTHROPIC_AUTH_TOKEN="tk-…"\nclaude',
            ),
        ],
    ),
    "codex": (
        "Codex",
        [
            (
                "Add a provider to ~/.codex/config.toml.",
                (
                    'model = "{model}"\nmodel_provider = "tokligence"\n\n[model_providers.tokligence]\n'
                    'name = "Tokligence"\nbase_url = "{base}/v1"\nenv_key = "TOKLIGENCE_API_KEY"\n'
                    'wire_api = "responses"'
                ),
            ),
            ("Put your key into the environment and start it.", 'export TOKLIGENCE_API_KEY="tk-…"\ncodex'),
        ],
    ),
    "openai-python": (
        "OpenAI SDK for Python",
        [
            ("Install it.", "pip install openai"),
            (
                "Give it the base URL and your key.",
                (
                    "from openai import OpenAI\n\n"
                    'client = OpenAI(base_url="{base}/v1", api_key="tk-…")\n'
                    "answer = client.chat.completions.create(\n"
                    '    model="{model}", messages=[{"role": "user", "content": "Hello"}]\n'
                    ")\nprint(answer.choices[0].message.content)"
                ),
            ),
        ],
    ),
    "openai-node": (
        "OpenAI SDK for JavaScript",
        [
            ("Install it.", "npm install openai"),
            (
                "Give it the base URL and your key.",
                (
                    'import OpenAI from "openai";\n\n'
                    'const client = new OpenAI({ baseURL: "{base}/v1", apiKey: "tk-…" });\n'
                    "const answer = await client.chat.completions.create({\n"
                    '  model: "{model}",\n  messages: [{ role: "user", content: "Hello" }],\n'
                    "});\nconsole.log(answer.choices[0].message.content);"
                ),
            ),
        ],
    ),
    "anthropic-python": (
        "Anthropic SDK for Python",
        [
            (
                "Give it the base URL and your key.",
                (
                    "from anthropic import Anthropic\n\n"
                    'client = Anthropic(base_url="{base}", api_key="tk-…")\n'
                    "answer = client.messages.create(\n"
                    '    model="{model}", max_tokens=200,\n'
                    '    messages=[{"role": "user", "content": "Hello"}],\n'
                    ")\nprint(answer.content[0].text)"
                ),
            ),
        ],
    ),
}

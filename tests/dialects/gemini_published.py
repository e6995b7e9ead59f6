"""The request of generateContent as Google publishes it: strict types, and rules that no type can say.

https://ai.google.dev/api/generate-content#request-body
https://ai.google.dev/api/caching#Content
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import base64
import re
from typing import Any, Literal

import msgspec
from msgspec import Struct


class _Strict(Struct, rename="camel", forbid_unknown_fields=True):
    pass


class Blob(_Strict):
    mime_type: str
    data: str


class FileData(_Strict):
    file_uri: str
    mime_type: str | None = None


class FunctionCall(_Strict):
    name: str
    id: str | None = None
    args: dict[str, Any] | None = None


class ResponsePart(_Strict):
    inline_data: Blob


class FunctionResponse(_Strict):
    name: str
    response: dict[str, Any]
    id: str | None = None
    parts: list[ResponsePart] | None = None


class ExecutableCode(_Strict):
    language: str
    code: str


class CodeExecutionResult(_Strict):
    outcome: str
    output: str | None = None


class Part(_Strict):
    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
    thought: bool | None = None
    thought_signature: str | None = None


class Content(_Strict):
    parts: list[Part]
    role: Literal["user", "model"] | None = None


class Schema(_Strict):
    """OpenAPI's, https://ai.google.dev/api/caching#Schema."""

    type: Literal["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"] | None = None
    format: str | None = None
    title: str | None = None
    description: str | None = None
    nullable: bool | None = None
    enum: list[str] | None = None
    max_items: int | None = None
    min_items: int | None = None
    properties: dict[str, "Schema"] | None = None
    required: list[str] | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    example: Any = None
    any_of: list["Schema"] | None = None
    property_ordering: list[str] | None = None
    default: Any = None
    items: "Schema | None" = None
    minimum: float | None = None
    maximum: float | None = None


class Declaration(_Strict):
    name: str
    description: str | None = None
    parameters: Schema | None = None
    parameters_json_schema: dict[str, Any] | None = None


class Tools(_Strict):
    function_declarations: list[Declaration]


class CallingConfig(_Strict):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED"]
    allowed_function_names: list[str] | None = None


class ToolConfig(_Strict):
    function_calling_config: CallingConfig


class Thinking(_Strict):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None


class GenerationConfig(_Strict):
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    candidate_count: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_schema: Schema | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: list[Literal["TEXT", "IMAGE", "AUDIO"]] | None = None
    thinking_config: Thinking | None = None


class Request(_Strict):
    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tools] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None


def check(body: bytes, model: str = "gemini-3-flash-preview") -> Request:
    """The request, when Google would take it for this model; else it raises."""
    request = msgspec.json.decode(body, type=Request)
    assert request.contents, "no contents"
    assert request.contents[0].role == "user", "a user's turn comes first"
    for content in [*request.contents, *([request.system_instruction] if request.system_instruction else [])]:
        assert content.parts, "a content without parts"
        for part in content.parts:
            check_part(part)
    check_turns(request.contents, signed="gemini-3" in model)
    names = [tool.name for tools in request.tools or () for tool in tools.function_declarations]
    assert len(set(names)) == len(names), "a function declared twice"
    for tools in request.tools or ():
        for tool in tools.function_declarations:
            assert re.fullmatch(r"[A-Za-z_][\w.:-]{0,63}", tool.name), tool.name
            assert tool.parameters is None or tool.parameters_json_schema is None
            if tool.parameters is not None:
                check_schema(tool.parameters)
            if tool.parameters_json_schema is not None:
                check_json_schema(tool.parameters_json_schema)
    if request.tool_config is not None:
        calling = request.tool_config.function_calling_config
        assert not calling.allowed_function_names or calling.mode in {"ANY", "VALIDATED"}
        assert set(calling.allowed_function_names or ()) <= set(names)
    if request.generation_config is not None:
        check_generation(request.generation_config)
    return request


def check_part(part: Part) -> None:
    kinds = [name for name in Part.__struct_fields__[:7] if getattr(part, name) is not None]
    assert len(kinds) == 1, f"a part of kinds {kinds}"
    assert part.text != "" or part.thought_signature, "an empty text"
    if part.inline_data is not None:
        assert "/" in part.inline_data.mime_type
        assert base64.b64decode(part.inline_data.data, validate=True)
    if part.file_data is not None:
        assert re.match(r"https://|gs://", part.file_data.file_uri)


def check_turns(contents: list[Content], *, signed: bool) -> None:
    """Calls are answered at once and in full, and the first of each step is signed."""
    for at, content in enumerate(contents):
        calls = [part for part in content.parts if part.function_call]
        responses = [part.function_response for part in content.parts if part.function_response]
        if responses:
            assert content.role == "user"
            assert len(responses) == len(content.parts), "something else beside responses"
            asked = [part.function_call for part in contents[at - 1].parts if part.function_call]
            assert [(call.id, call.name) for call in asked if call] == [(r.id, r.name) for r in responses]
        if calls:
            assert content.role == "model"
            assert not signed or calls[0].thought_signature, "an unsigned call"
        if at and contents[at - 1].role == content.role:
            assert any(part.function_response for part in contents[at - 1].parts), "turns that should be one"


def check_schema(schema: Schema) -> None:
    """OpenAPI's schemas say of what type they are."""
    assert schema.type is not None or schema.any_of, "a schema without a type"
    assert schema.properties != {}, "an object without members"
    assert schema.enum is None or schema.type == "STRING"
    assert schema.items is None or schema.type == "ARRAY"
    for inner in [*(schema.properties or {}).values(), *(schema.any_of or ()), schema.items]:
        if inner is not None:
            check_schema(inner)


def check_json_schema(schema: Any, *, names: bool = False) -> None:
    """JSON Schema without what Gemini refuses; `names` where the keys are names of members."""
    if isinstance(schema, list):
        for each in schema:
            check_json_schema(each)
    if not isinstance(schema, dict):
        return
    if not names:
        assert not schema.keys() & {"$schema", "const"}
        assert "$ref" not in schema or all(key.startswith("$") for key in schema)
    for key, value in schema.items():
        if names or key not in {"default", "examples", "enum"}:
            check_json_schema(value, names=not names and key in {"properties", "$defs"})


def check_generation(config: GenerationConfig) -> None:
    assert len(config.stop_sequences or ()) <= 5
    assert config.response_schema is None or config.response_json_schema is None
    wants_schema = config.response_schema is not None or config.response_json_schema is not None
    assert not wants_schema or config.response_mime_type == "application/json"
    assert config.logprobs is None or config.response_logprobs
    thinking = config.thinking_config
    assert thinking is None or thinking.thinking_budget is None or thinking.thinking_level is None

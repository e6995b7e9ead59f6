"""Usage as Gemini counts it: the one place where it is read.

https://ai.google.dev/api/generate-content#UsageMetadata
"""

from msgspec import Struct

from tokligenced.dialects.openai_usage import ABSURD
from tokligenced.domain import Usage


class _Share(Struct, rename="camel", gc=False):
    modality: str | None = None
    token_count: float | None = None


class WireUsage(Struct, rename="camel"):
    """What the upstream sent, in one chunk or gathered over several."""

    prompt_token_count: float | None = None
    candidates_token_count: float | None = None
    thoughts_token_count: float | None = None
    tool_use_prompt_token_count: float | None = None
    cached_content_token_count: float | None = None
    total_token_count: float | None = None
    prompt_tokens_details: list[_Share] | None = None
    tool_use_prompt_tokens_details: list[_Share] | None = None
    cache_tokens_details: list[_Share] | None = None
    candidates_tokens_details: list[_Share] | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return (
            self.prompt_token_count is None
            and self.candidates_token_count is None
            and self.thoughts_token_count is None
            and self.total_token_count is None
        )

    def keep(self, earlier: "WireUsage") -> None:
        """Take from an earlier chunk what this one leaves out; its own figures replace the earlier ones."""
        for name in self.__struct_fields__:
            if getattr(self, name) is None:
                setattr(self, name, getattr(earlier, name))


def usage_of(wire: WireUsage) -> Usage | None:
    """The disjoint parts of what the upstream counted; None when it counted nothing believable.

    Cached tokens are within the prompt, thoughts and what tools put into the prompt are not. The total
    holds everything, also what has no figure of its own. An explicit zero is zero.
    """
    if wire.silent:
        return None
    audio_in, image_in = _shares(wire.prompt_tokens_details)
    audio_tools, image_tools = _shares(wire.tool_use_prompt_tokens_details)
    audio_kept, image_kept = _shares(wire.cache_tokens_details)
    made_audio, made_image = _shares(wire.candidates_tokens_details)
    numbers = (
        wire.prompt_token_count or 0,
        wire.tool_use_prompt_token_count or 0,
        wire.candidates_token_count or 0,
        wire.thoughts_token_count or 0,
        wire.cached_content_token_count or 0,
        wire.total_token_count or 0,
        *(audio_in, image_in, audio_tools, image_tools, audio_kept, image_kept, made_audio, made_image),
    )
    if min(numbers) < 0 or max(numbers) > ABSURD:
        return None
    prompt, tools, said, thoughts, cached, total = map(int, numbers[:6])
    completion = max(said + thoughts, total - prompt - tools)
    prompt += tools
    # The parts are made disjoint: sound that was cached is counted as cached, and not once more.
    cached = min(cached, prompt)
    audio = min(max(int(audio_in + audio_tools - audio_kept), 0), prompt - cached)
    image = min(max(int(image_in + image_tools - image_kept), 0), prompt - cached - audio)
    audio_out = min(int(made_audio), completion - thoughts)
    image_out = min(int(made_image), completion - thoughts - audio_out)
    return Usage(
        input=prompt - cached - audio - image,
        cached_input=cached,
        audio_in=audio,
        image_in=image,
        output=completion - thoughts - audio_out - image_out,
        reasoning=thoughts,
        audio_out=audio_out,
        image_out=image_out,
    )


def _shares(details: list[_Share] | None) -> tuple[float, float]:
    """The tokens of sound and of pictures; the smallest of all where one is negative."""
    audio = image = 0.0
    for share in details or ():
        count = share.token_count or 0
        if count < 0:
            return count, count
        if share.modality == "AUDIO":
            audio += count
        elif share.modality == "IMAGE":
            image += count
    return audio, image

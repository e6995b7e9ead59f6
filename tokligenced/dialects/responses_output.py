"""The items of an OpenAI Responses answer while they grow, each telling its own events.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Literal

from tokligenced.dialects.conversation import Cited, Media, Thinking
from tokligenced.dialects.responses_events import Wire, head
from tokligenced.dialects.responses_reasoning import Secret, sealed
from tokligenced.dialects.responses_response import Item

Status = Literal["completed", "incomplete"]
_PartKind = Literal["output_text", "refusal"]


class Growing:
    """An item from its beginning to its end; not shared. `index` is its place in the output."""

    def __init__(self, wire: Wire, item_id: str, index: int) -> None:
        self._wire = wire
        self._id = item_id
        self.index = index
        self._place = {"item_id": item_id, "output_index": index}

    def _added(self, item: Item) -> None:
        self._wire.send("response.output_item.added", {"output_index": self.index, "item": item})

    def _done(self, item: Item) -> Item:
        self._wire.send("response.output_item.done", {"output_index": self.index, "item": item})
        return item


class Message(Growing):
    """What is said: parts of text or refusal, one after the other."""

    def __init__(self, wire: Wire, item_id: str, index: int, logprobs: list[Item]) -> None:
        super().__init__(wire, item_id, index)
        self._parts: list[Item] = []
        self._kind: _PartKind | None = None
        self._member = ""
        self._head = b""
        self._pieces: list[str] = []
        self._annotations: list[Item] = []
        self._logprobs = logprobs
        self._added(self._item("in_progress"))

    def say(self, text: str, kind: _PartKind = "output_text") -> None:
        """More text."""
        if self._kind != kind:
            self._open(kind)
        self._pieces.append(text)
        self._wire.grow(self._head, text)

    def cite(self, source: Cited) -> None:
        """A source of the text."""
        if self._kind != "output_text":
            self._open("output_text")
        annotation = {
            "type": "url_citation",
            "url": source.url,
            "title": source.title,
            "start_index": source.start,
            "end_index": source.end,
        }
        at = {**self._at(), "annotation_index": len(self._annotations), "annotation": annotation}
        self._annotations.append(annotation)
        self._wire.send("response.output_text.annotation.added", at)

    def log(self, tokens: list[Item]) -> None:
        """Log probabilities of the text; they are told where it ends."""
        self._logprobs += tokens

    def close(self, status: Status) -> Item:
        """The whole of it."""
        self._close_part()
        return self._done(self._item(status))

    def _item(self, status: str) -> Item:
        return {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": list(self._parts),
        }

    def _at(self) -> Item:
        return {**self._place, "content_index": len(self._parts)}

    def _open(self, kind: _PartKind) -> None:
        self._close_part()
        self._kind = kind
        at = self._at()
        self._wire.send("response.content_part.added", {**at, "part": self._part("")})
        more: Item = {"logprobs": []} if kind == "output_text" else {}
        self._head = head(f"response.{kind}.delta", {**at, **more})

    def _part(self, text: str) -> Item:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {
            "type": "output_text",
            "annotations": list(self._annotations),
            "logprobs": list(self._logprobs),
            "text": text,
        }

    def _close_part(self) -> None:
        if self._kind is None:
            return
        at, text = self._at(), "".join(self._pieces)
        part = self._part(text)
        told = {"refusal": text} if self._kind == "refusal" else {"text": text, "logprobs": part["logprobs"]}
        self._wire.send(f"response.{self._kind}.done", {**at, **told})
        self._wire.send("response.content_part.done", {**at, "part": part})
        self._parts.append(part)
        self._pieces, self._annotations, self._logprobs = [], [], []
        self._kind = None


class Reasoning(Growing):
    """What is thought, shown as a summary, and sealed with it what must come back."""

    def __init__(self, wire: Wire, item_id: str, index: int) -> None:
        super().__init__(wire, item_id, index)
        self._pieces: list[str] = []
        self._secrets: list[Secret] = []
        self._head = b""
        self._told = False
        self._added(self._item([], None))

    def think(self, text: str) -> None:
        """More visible reasoning."""
        at = {**self._place, "summary_index": 0}
        if not self._pieces:
            self._wire.send(
                "response.reasoning_summary_part.added", {**at, "part": {"type": "summary_text", "text": ""}}
            )
            self._head = head("response.reasoning_summary_text.delta", at)
        self._pieces.append(text)
        self._wire.grow(self._head, text)

    def keep(self, secret: Secret) -> None:
        """What must come back; a whole block of reasoning stands for the text so far."""
        self._told = self._told or secret.thinking is not None
        self._secrets.append(secret)

    def close(self) -> Item:
        """The whole of it."""
        text = "".join(self._pieces)
        summary = []
        if text:
            at, part = {**self._place, "summary_index": 0}, {"type": "summary_text", "text": text}
            self._wire.send("response.reasoning_summary_text.done", {**at, "text": text})
            self._wire.send("response.reasoning_summary_part.done", {**at, "part": part})
            summary.append(part)
            if not self._told:
                self._secrets.insert(0, Secret(thinking=Thinking(text=text)))
        return self._done(self._item(summary, sealed(self._secrets)))

    def _item(self, summary: list[Item], encrypted: str | None) -> Item:
        return {"id": self._id, "type": "reasoning", "summary": summary, "encrypted_content": encrypted}


class Picture(Growing):
    """A picture that a model made, whole."""

    def close(self, drawn: Media) -> Item:
        """The whole of it."""
        item = {"id": self._id, "type": "image_generation_call"}
        self._added({**item, "status": "in_progress", "result": None})
        made = {"status": "completed", "result": drawn.data or drawn.url}
        return self._done(
            {**item, **made, "output_format": (drawn.media_type or "").partition("/")[2] or "png"}
        )

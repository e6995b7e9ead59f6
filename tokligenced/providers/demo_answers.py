"""What the demo model says and thinks, and what it takes for tokens."""

import re
from collections.abc import Sequence

_PIECE = re.compile(r"\s?\w{1,8}|\s?[^\w\s]|\s")
_GREETING = re.compile(
    r"\s*(hello|hi|hey|good (morning|afternoon|evening|day)|howdy|greetings)\b", re.IGNORECASE
)
_STORY = re.compile(r"\bstory\b(?:\s+(?:about|of|with)\s+(?P<topic>[^.!?\n]{1,60}))?", re.IGNORECASE)
_LONGEST_GREETING = 60
_LONGEST_QUOTE = 240

_HELLO = (
    "Hello! I am the demo model that lives inside this gateway. I need no network and no account, and I give "
    "the same answer to the same question. To talk to a real model, add a provider with its API key to the "
    "configuration file (for example [providers.anthropic]), name it in the deployments of a model, and run "
    "`tokligenced reload`. What would you like to try first?"
)
_TALE = (
    "Once upon a time, at the edge of a quiet harbour, there stood a lighthouse with a single lamp. "
    "Its keeper knew every ship by the sound of its bell, but she had never met {topic}.\n\n"
    "One night the fog came in so thick that the lamp seemed to shine into wool. The keeper opened the "
    "window, put her hand on the rope of the old bell, and rang it: slowly, evenly, once for each breath. "
    "Far out, something answered.\n\n"
    "All night they spoke that way, bell and answer, until the fog grew thin and a small boat slid between "
    "the rocks without touching one. Aboard was {topic}, tired and smiling. "
    '"I could not see your light," said the visitor, "but I could hear that somebody was awake."\n\n'
    "From then on the keeper rang the bell on clear nights too, for a little while, in case somebody far "
    "away needed to know. The end."
)
_PLAN = (
    "You wrote: “{quote}”.\n\n"
    "I am the demo model, so I know nothing about it, but this is how I would go about it:\n\n"
    "1. Say what a good answer would look like, and how you would recognise it.\n"
    "2. Take the smallest part that can be tried today, and try it.\n"
    "3. Look at what happened, keep what worked, and write down what surprised you.\n\n"
    "A real model can say more: add a provider to the configuration file and name it in this model's "
    "deployments."
)
_THOUGHTS = (
    "The user says: “{quote}”.",
    " What matters is what they want to have in hand afterwards.",
    " I know nothing beyond this conversation, so I should say so plainly.",
    " A short list of steps is more useful than a guess.",
    " I should quote their words, so that they see what arrived.",
    " Is there a simpler answer? Not one that would still be honest.",
)
_EFFORTS = {"minimal": 1, "low": 2, "medium": 4}


def pieces(text: str) -> list[str]:
    """The tokens of a text: words in parts of up to eight letters, and single signs.

    Joined they are the text again; the first k of them, joined, have exactly k tokens.
    """
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens a text has, without keeping them: prompts may be long."""
    return _PIECE.subn("", text)[1]


def quoted(text: str) -> str:
    """The text in one line, shortened to what fits into a sentence."""
    line = " ".join(text[: 4 * _LONGEST_QUOTE].split())
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


def say(text: str, attachments: int, variant: int) -> str:
    """The answer to what the user wrote last; `variant` counts from 0 when several are asked for."""
    if len(text) <= _LONGEST_GREETING and _GREETING.match(text):
        answer = _HELLO
    elif story := _STORY.search(text):
        answer = _TALE.format(topic=(story["topic"] or "a traveller from far away").strip())
    else:
        answer = _PLAN.format(quote=quoted(text))
    if attachments:
        noun = "an attachment" if attachments == 1 else f"{attachments} attachments"
        answer += f"\n\nI received {noun} too, but I can't look inside."
    return f"Option {variant + 1}: {answer}" if variant else answer


def report(results: Sequence[tuple[str, str]]) -> str:
    """The answer after tools were called; `results` are (name of the tool, what it returned)."""
    lines = [f"{name} answered: “{quoted(result)}”." for name, result in results]
    return "Here is what I found.\n\n" + "\n".join(lines)


def think(text: str, effort: str) -> str:
    """What the demo model thinks before it answers: longer with more effort, nothing with `none`."""
    if effort == "none":
        return ""
    return "".join(_THOUGHTS[: _EFFORTS.get(effort, len(_THOUGHTS))]).format(quote=quoted(text))

"""People: who signs up, signs in, and stays so; what the dashboard asks and never does by itself.

nouns       what the pages are told
passwords   what may be one, and argon2id off the loop
tokens      random bearers of which only the SHA-256 is kept, and links that hold one
totp        one-time codes (RFC 6238)
slowdown    who guesses waits, longer each time
sessions    who is signed in; in memory, with the file as its journal
people      all of that together
"""

from tokligenced.gateway.people.nouns import SessionRow, SignInRefused, TotpOffer, Viewer
from tokligenced.gateway.people.people import People

__all__ = ["People", "SessionRow", "SignInRefused", "TotpOffer", "Viewer"]

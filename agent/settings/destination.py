"""What can be dialled: a phone number, a SIP URI or a SIP user."""

import re

EXPECTED = "a phone number such as +12345678900 (E.164), a SIP URI such as sip:user@domain, or a SIP user"
MAX_LENGTH = 255  # a SIP URI longer than this does not fit the header lines of common servers

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")  # ITU-T E.164: 15 digits at most, no leading zero
# RFC 3261 25.1 `user`, without characters that some gateway on the way reads as its own syntax (quotes, parentheses,
# comma, semicolon, question mark, slash); `#` is no `user` character but dialled in short codes.
_USER = r"[A-Za-z0-9_.!~*&=$%#-]+"
_SIP_USER = re.compile(_USER)
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
_SIP_URI = re.compile(rf"sips?:\+?{_USER}@{_HOST}(?::[0-9]{{1,5}})?(?:;[A-Za-z0-9_.=-]+)*", re.IGNORECASE)


def check_destination(text: str) -> None:
    """Raise `ValueError` with one sentence that says what is expected when `text` cannot be dialled.

    Forms: ICallOptions `destinationNumber` (E.164 or `sip:user@domain`); plain digits, short codes and names are
    SIP users of the line's account (telnyx-rtc.md section 3).
    """
    if len(text) <= MAX_LENGTH and (_E164.fullmatch(text) or _SIP_USER.fullmatch(text) or _SIP_URI.fullmatch(text)):
        return
    raise ValueError(f"not a destination, expected {EXPECTED}")

"""Who may log in to the lab gateway, and which sessions there are (telnyx-rtc.md 1.4 and 1.5)."""

from __future__ import annotations

import hmac
import uuid

from agent.lab.leg import Session
from agent.lab.wire import Json

VOICE_SDK_ID_CHARACTERS = 31  # behind "VSDK", as in public logs (telnyx-rtc.md 1.2)


class Registrar:
    """Credentials and sessions. All three forms of login are taken; secrets never leave this object."""

    def __init__(self) -> None:
        self._passwords: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._assistants: dict[str, str] = {}
        self._sessions: dict[str, Session] = {}

    def add_user(self, login: str, password: str) -> None:
        """Let `login` in with `passwd`. The name is also a number that other clients can call."""
        self._passwords[login] = password

    def add_token(self, token: str, login: str) -> None:
        """Let the bearer of `login_token` in as `login`."""
        self._tokens[token] = login

    def add_assistant(self, target_id: str, number: str) -> None:
        """Let anonymous logins for this AI assistant in; all their calls go to `number`."""
        self._assistants[target_id] = number

    def authenticate(self, method: str, params: Json) -> tuple[str, str | None] | None:
        """Login name and fixed destination of whoever sent these login parameters; None when refused."""
        if method == "anonymous_login":
            target_id = params.get("target_id")
            number = self._assistants.get(target_id) if isinstance(target_id, str) else None
            return (f"assistant:{target_id}", number) if number is not None else None
        token = params.get("login_token")
        if isinstance(token, str):
            matches = [name for known, name in self._tokens.items() if _same(known, token)]
            return (matches[0], None) if matches else None
        login, password = params.get("login"), params.get("passwd")
        known = self._passwords.get(login) if isinstance(login, str) else None
        if known is None or not isinstance(password, str) or not _same(known, password):
            return None
        return str(login), None

    def open(
        self,
        login: str,
        sessid: object,
        fixed_destination: str | None,
        *,
        token: str | None = None,
        skip_token: bool = False,
    ) -> Session:
        """The session of that sessid if it is this login's own, else a new one.

        `token` is the sticky-routing token that the client came back with; `skip_token` that it wants another one.
        """
        known = self._sessions.get(sessid) if isinstance(sessid, str) else None
        if known is not None and known.login == login:
            if skip_token:
                known.voice_sdk_id = _new_token()
            return known
        session = Session(
            login=login,
            sessid=str(uuid.uuid4()),
            voice_sdk_id=token if token and not skip_token else _new_token(),
            fixed_destination=fixed_destination,
        )
        self._sessions[session.sessid] = session
        return session

    def close(self, session: Session) -> None:
        """Forget the session."""
        self._sessions.pop(session.sessid, None)

    def session_of(self, login: str) -> Session | None:
        """The newest connected session of that login, else the newest one at all."""
        mine = [session for session in self._sessions.values() if session.login == login]
        connected = [session for session in mine if session.socket is not None]
        found = connected or mine
        return found[-1] if found else None


def _new_token() -> str:
    return "VSDK" + uuid.uuid4().hex[:VOICE_SDK_ID_CHARACTERS]


def _same(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode())

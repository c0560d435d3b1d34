"""Examples of accounts, sessions and the audit log; see ``examples``."""

from collections.abc import Mapping
from typing import Any, Final

_TIME: Final = "2026-02-03T10:15:00Z"
_NODE_ID: Final = "mfrggzdfmztwq2lknnwg23tpoa"
_KEY: Final = "A" * 42 + "E"
_JWT: Final = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJleGFtcGxlIn0.c2lnbmF0dXJl"
_DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PAGE: Final = {"total": 1, "offset": 0, "limit": 100}

_AUDIT_ENTRY: Final = {
    "id": 1,
    "at": _TIME,
    "actor": "bob",
    "session_id": "",
    "action": "setup",
    "subject": "bob",
    "decision": "done",
    "reason": "",
    "plan_digest": None,
    "digest": _DIGEST,
}
_AUDIT_HEAD: Final = {
    "server": _NODE_ID,
    "sign_key": _KEY,
    "count": 42,
    "digest": _DIGEST,
    "at": _TIME,
    "signature": "0f" * 64,
}
_USER: Final = {
    "username": "dana@grid",
    "role": "data_scientist",
    "capabilities": ["compute", "infer", "send", "train"],
    "disabled": False,
    "second_factor": False,
    "oidc": False,
    "email": None,
    "email_confirmed": False,
    "mails": "all",
    "created_at": _TIME,
}
_SERVICE_TOKEN: Final = {
    "id": "svc-0123456789abcdef01234567",
    "name": "nightly report",
    "scopes": ["compute"],
    "created_at": _TIME,
    "expires_at": _TIME,
}
_SESSION: Final = {
    "session_id": "ses-0123456789abcdef01234567",
    "created_at": _TIME,
    "last_seen_at": _TIME,
    "current": True,
}

ACCOUNT_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "AuditEntryOut": _AUDIT_ENTRY,
    "AuditHead": _AUDIT_HEAD,
    "AuditOut": {"items": [_AUDIT_ENTRY], "earlier": None},
    "AuditVerdictOut": {"count": 42, "flaws": [], "heads": 1},
    "CodeIn": {"code": "287082"},
    "InvitationAcceptance": {"token": "printed-once", "password": "correct horse battery"},
    "InvitationOut": {"token": "printed-once", "expires_at": _TIME, "mailed": False},
    "MailCodeIn": {"code": "mailed-once"},
    "MailIn": {"email": "bob@example.org", "mails": "all", "password": "correct horse battery"},
    "OidcLinkIn": {"ticket": "0f" * 40, "verifier": "v" * 43, "password": "correct horse battery"},
    "OidcSessionIn": {"ticket": "0f" * 40, "verifier": "v" * 43, "code": None, "invitation": None},
    "PasswordIn": {"old_password": "correct horse battery", "new_password": "staple battery horse"},
    "RecoveryOut": {"codes": ["abcd-efgh-ijkl-mnop"]},
    "RefreshIn": {"refresh_token": "9mP0pZyVQ2uY0d8u3vFzjQ"},
    "ResetIn": {"username": "bob"},
    "SecondFactorIn": {"password": "correct horse battery"},
    "SecondFactorOut": {"address": "otpauth://totp/Gridward:bob?secret=GEZDGNBVGY3TQOJQ"},
    "SecondFactorRemoval": {"password": "correct horse battery", "code": "287082"},
    "ServiceTokenIn": {
        "password": "correct horse battery",
        "name": "nightly report",
        "scopes": ["compute"],
        "lifetime_s": 86400,
    },
    "ServiceTokenMade": _SERVICE_TOKEN | {"token": "svc-0123456789abcdef01234567.shown-once"},
    "ServiceTokenOut": _SERVICE_TOKEN,
    "ServiceTokensOut": {"items": [_SERVICE_TOKEN]},
    "SessionIn": {"username": "bob", "password": "correct horse battery"},
    "SessionOut": {
        "session_id": "ses-0123456789abcdef01234567",
        "access_token": _JWT,
        "refresh_token": "9mP0pZyVQ2uY0d8u3vFzjQ",
        "expires_in_s": 900,
    },
    "SessionsOut": {"items": [_SESSION]},
    "SignInWays": {"password": True, "oidc": "your organisation"},
    "SubjectIn": {"subject": "248289761001"},
    "SetupIn": {
        "token": "printed-once-by-gridward-init",
        "username": "bob",
        "password": "correct horse battery",
    },
    "UserIn": {"username": "dana@grid", "role": "data_scientist"},
    "UserOut": _USER,
    "UserPatch": {"role": "data_scientist"},
    "UsersOut": {"items": [_USER], **_PAGE},
    "WitnessedOut": {"items": [_AUDIT_HEAD]},
}

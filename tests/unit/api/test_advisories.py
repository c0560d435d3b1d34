"""Holes that other platforms published advisories about, each tried here: its class, and one example."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import jwt
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.lib import format as npy

from gridward.api.services import datasets
from gridward.core.schemas.uploads import MediaType
from gridward.server.passwords import PasswordHasher
from tests.support.asking import asked
from tests.support.files import publish, send_chunk, upload
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.questions import ask, column

EVIL: Final = "evil.example"
OPEN: Final = {"discover": ["@signed-in"], "compute": ["@signed-in"]}
CANARY: Final = "canary-7d3f"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def role_of(node: NodeUnderTest, username: str) -> str:
    users = node.client.get("/v1/users", headers=node.as_("bob")).json()["items"]
    return next(str(one["role"]) for one in users if one["username"] == username)


def test_timing_tells_nobody_who_has_an_account(node: NodeUnderTest) -> None:
    """User enumeration by response time, CWE-208; CVE-2022-44022 (PwnDoc): unknown names cost no hash."""
    node.as_("ana")
    path = "/v1/sessions"
    costs = {}
    for name in ("ana", "nobody", "ANA", "ana "):
        with patch.object(PasswordHasher, "verify", autospec=True, side_effect=PasswordHasher.verify) as work:
            answer = node.client.post(path, json={"username": name, "password": "wrong"})
        body = {key: value for key, value in answer.json().items() if key not in ("instance", "request_id")}
        headers = {key for key in answer.headers if key != "x-request-id"}
        costs[name] = (answer.status_code, json.dumps(body), tuple(sorted(headers)), work.call_count)
    assert costs["ana"] == costs["nobody"]
    assert costs["ana"][3] == 1


@pytest.mark.parametrize("change", ["header", "query", "body"])
def test_a_new_word_in_each_guess_buys_no_new_guesses(node: NodeUnderTest, change: str) -> None:
    """Brute force past a limit whose key the caller chooses, CWE-307; CVE-2025-64526 (Strapi)."""
    ana, codes = node.as_("ana"), []
    for number in range(12):
        mark = f"{number}@{EVIL}"
        body = {"old_password": f"guess {number}", "new_password": "a new and better password"}
        sent: dict[str, Any] = {"json": body, "headers": ana, "params": {}}
        if change == "header":
            sent["headers"] = ana | {"X-Forwarded-For": f"10.0.0.{number}", "X-Real-Ip": mark}
        elif change == "query":
            sent["params"] = {"email": mark, "username": mark}
        else:
            sent["json"] = body | {"email": mark}
        codes.append(node.client.put("/v1/users/me/password", **sent).json()["code"])
    assert codes[-1] == ("invalid_input" if change == "body" else "too_many_attempts")
    assert node.sign_in("ana").status_code == (201 if change == "body" else 429)


@pytest.mark.parametrize("field", ["role", "capabilities", "disabled", "id", "password_hash", "totp_active"])
def test_no_field_beside_those_asked_for_is_taken(node: NodeUnderTest, field: str) -> None:
    """Mass assignment, CWE-915; CVE-2012-2055 (GitHub Enterprise)."""
    ana, extra = node.as_("ana"), {field: "owner"}
    change = {"old_password": PASSWORD, "new_password": "a new and better password"} | extra
    begin = {"password": PASSWORD} | extra
    sign_in = {"username": "ana", "password": PASSWORD} | extra
    for method, path, body in (
        ("PUT", "/v1/users/me/password", change),
        ("POST", "/v1/users/me/second-factor", begin),
        ("POST", "/v1/sessions", sign_in),
    ):
        answer = node.client.request(method, path, json=body, headers=ana)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert role_of(node, "ana") == "data_scientist"


def test_a_lower_role_counts_at_once_in_tokens_that_were_given_before(node: NodeUnderTest) -> None:
    """Rights kept after a change of role, CWE-269; roles of others are for those who hold more."""
    adam, ana = node.as_("adam", "admin"), node.as_("ana")
    for who, role in (("adam", "owner"), ("bob", "guest"), ("ana", "owner")):
        answer = node.client.patch(f"/v1/users/{who}", json={"role": role}, headers=adam)
        assert answer.status_code == 403
    assert role_of(node, "bob") == "owner"
    lowered = node.client.patch("/v1/users/adam", json={"role": "guest"}, headers=node.as_("bob"))
    assert lowered.status_code == 200
    body = {"username": "eve", "role": "guest", "password": PASSWORD}
    assert node.client.post("/v1/users", json=body, headers=adam).status_code in (401, 403)
    assert node.client.patch("/v1/users/ana", json={"disabled": True}, headers=adam).status_code in (401, 403)
    assert node.client.get("/v1/users/me", headers=ana).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/node",
        "/v1/node/",
        "/v1/datasets/",
        "/",
        "/requests",
        "/requests/",
        "/sign-in?next=//evil.example",
    ],
)
def test_no_answer_leads_to_a_host_that_the_caller_named(node: NodeUnderTest, path: str) -> None:
    """Open redirects and poisoned links by the Host header, CWE-601, CWE-644; CVE-2011-4139 (Django)."""
    poisoned = dict.fromkeys(("Host", "X-Forwarded-Host", "X-Host"), EVIL) | {"Forwarded": f"host={EVIL}"}
    for headers in (poisoned, poisoned | node.as_("bob"), poisoned | {"Accept": "text/html"}):
        answer = node.client.get(path, headers=headers, follow_redirects=False)
        assert EVIL not in answer.headers.get("location", "")
        assert EVIL not in answer.text


def test_every_kind_of_answer_has_the_headers_that_protect_it(node: NodeUnderTest) -> None:
    """Missing security headers, CWE-693, CWE-1021."""
    bob = node.as_("bob")
    answers = {
        200: node.client.get("/v1/datasets", headers=bob),
        401: node.client.get("/v1/datasets"),
        404: node.client.get("/v1/nothing", headers=bob),
        405: node.client.put("/v1/node"),
        422: node.client.post("/v1/sessions", json={}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_a_foreign_origin_gets_no_leave_to_read(node: NodeUnderTest) -> None:
    """Permissive cross-origin rules, CWE-942."""
    asked_for = {"Origin": f"https://{EVIL}", "Access-Control-Request-Method": "GET"}
    for answer in (
        node.client.options("/v1/datasets", headers=asked_for),
        node.client.get("/v1/node", headers=asked_for),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_belongs_to_another_looks_like_what_is_not_there(node: NodeUnderTest) -> None:
    """Insecure direct object references, CWE-639."""
    ana, eve, bob = node.as_("ana"), node.as_("eve"), node.as_("bob")
    data = publish(node, bob, {"x": np.arange(5.0)}, access=OPEN)
    mean = column(data, "x").mean()
    request = asked(node, ana, mean)["id"]
    kept = ask(node, ana, column(data, "x") * 2, release=False).json()["objects"][0]["id"]
    mine = upload(node, node.as_("olga", "data_officer"), b"x" * 10, MediaType.CSV)
    session = node.sign_in("ana").json()["session_id"]
    for method, path, missing in (
        ("GET", f"/v1/requests/{request}", "/v1/requests/req-0"),
        ("POST", f"/v1/requests/{request}/withdraw", "/v1/requests/req-0/withdraw"),
        ("POST", f"/v1/requests/{request}/comments", "/v1/requests/req-0/comments"),
        ("GET", f"/v1/objects/{kept}", "/v1/objects/obj-0"),
        ("DELETE", f"/v1/objects/{kept}", "/v1/objects/obj-0"),
        ("DELETE", f"/v1/sessions/{session}", "/v1/sessions/ses-0"),
        ("GET", f"/v1/uploads/{mine}", "/v1/uploads/upl-0"),
        ("DELETE", f"/v1/uploads/{mine}", "/v1/uploads/upl-0"),
    ):
        body = {"text": "mine"} if method == "POST" else None
        theirs, none = (node.client.request(method, one, json=body, headers=eve) for one in (path, missing))
        assert (theirs.status_code, theirs.json()["code"]) == (none.status_code, none.json()["code"])
        assert theirs.status_code in (403, 404, 405), path
    assert node.client.get("/v1/notifications", headers=eve).json()["total"] == 0
    assert node.client.get(f"/v1/requests/{request}", headers=ana).json()["status"] == "pending"


def test_a_new_password_ends_what_the_old_one_opened(node: NodeUnderTest) -> None:
    """Sessions and tokens that outlive the password, CWE-613."""
    node.as_("ana")
    here, stolen = (node.sign_in("ana").json() for _ in range(2))
    body = {"password": PASSWORD, "name": "nightly", "scopes": ["compute"], "lifetime_s": 3600}
    program = node.client.post("/v1/service-tokens", json=body, headers=bearer(here["access_token"])).json()
    change = {"old_password": PASSWORD, "new_password": "a new and better password"}
    headers = bearer(here["access_token"])
    assert node.client.put("/v1/users/me/password", json=change, headers=headers).status_code in (200, 204)
    for token in (stolen["access_token"], program["token"]):
        assert node.client.get("/v1/users/me", headers=bearer(token)).status_code == 401
    renewed = node.client.post("/v1/sessions/refresh", json={"refresh_token": stolen["refresh_token"]})
    assert renewed.status_code == 401
    assert node.sign_in("ana").status_code == 401


@pytest.mark.parametrize("forgery", ["none", "None", "public key", "no end", "far end", "text end"])
def test_a_token_of_ones_own_making_is_none(node: NodeUnderTest, forgery: str) -> None:
    """Unsigned, confused and endless tokens, CWE-347, CWE-613; CVE-2022-29217 (PyJWT)."""
    keys, given = node.node.keys, node.sign_in("bob").json()["access_token"]
    claims = jwt.decode(given, options={"verify_signature": False})
    header = {"typ": jwt.get_unverified_header(given)["typ"]}
    secret: Any = keys.token_secret
    algorithm = "HS256"
    if forgery.lower() == "none":
        parts = given.split(".")
        head = jwt.utils.base64url_encode(json.dumps(header | {"alg": forgery}).encode()).decode()
        forged = f"{head}.{parts[1]}."
    else:
        match forgery:
            case "public key":
                secret = keys.sign_key_text
            case "no end":
                del claims["exp"]
            case "far end":
                claims["exp"] = float("inf")
            case _:
                claims["exp"] = "9999999999999"
        forged = jwt.PyJWS().encode(json.dumps(claims).encode(), secret, algorithm, headers=header)
    answer = node.client.get("/v1/users/me", headers=bearer(forged))
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert node.client.get("/v1/users/me", headers=bearer(given)).status_code == 200


@pytest.mark.parametrize(
    "way",
    ["../keys", "..%2fkeys", "%2e%2e/%2e%2e/etc/passwd", "..\\keys", "/etc/passwd", "....//keys", "a%00b"],
)
def test_no_path_leads_out_of_its_folder(node: NodeUnderTest, way: str) -> None:
    """Path traversal, CWE-22; CVE-2024-23334 (aiohttp): static files above their folder."""
    bob = node.as_("bob", "owner")
    for path in ("/static/", "/v1/uploads/", "/v1/objects/", "/v1/models/", "/v1/datasets/"):
        answer = node.client.get(f"{path}{way}", headers=bob)
        assert answer.status_code in (400, 401, 404, 405, 422), path
        assert "root:" not in answer.text
    folder = Path(node.node.settings.data_dir)
    before = sorted(folder.parent.rglob("*"))
    refused = node.client.post("/v1/datasets", json={"name": way, "upload_id": way}, headers=bob)
    assert refused.status_code in (404, 422)
    assert send_chunk(node, bob, way, 0, b"x").status_code in (404, 405, 422)
    assert [path for path in sorted(folder.parent.rglob("*")) if path not in before] == []


def _archive(name: str, header: bytes, zeros: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        member.write(header)
        for _ in range(zeros // 2**20):
            member.write(bytes(2**20))
    return file.getvalue()


def _npy_header(rows: int) -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (rows,)})
    return file.getvalue()


@pytest.mark.parametrize("name", ["x.npy", "../../x.npy", "/tmp/x.npy"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(node: NodeUnderTest, name: str) -> None:
    """Decompression bombs, CWE-409; CVE-2019-9674 (zipfile). Names inside archives are no paths, CWE-22."""
    limit = 2**22
    content = _archive(name, _npy_header(2 * limit // 8), 2 * limit)
    assert len(content) < limit // 100
    bob = node.as_("bob")
    outside = sorted(Path(node.node.settings.data_dir).parent.iterdir())
    with patch.object(node.node.settings, "upload_max_bytes", limit):
        upload_id = upload(node, bob, content, MediaType.NUMPY_ZIP)
        refused = node.client.post("/v1/datasets", json={"name": "b", "upload_id": upload_id}, headers=bob)
    assert refused.json()["code"] == "upload_refused"
    assert sorted(Path(node.node.settings.data_dir).parent.iterdir()) == outside


def test_an_error_tells_its_number_and_nothing_of_the_inside(node: NodeUnderTest) -> None:
    """Verbose errors, CWE-209: no trace, no path, no value of what was sent or stored."""
    bob = node.as_("bob")
    client = TestClient(node.client.app, raise_server_exceptions=False)
    with patch.object(datasets, "list_visible", side_effect=RuntimeError(f"/srv/{CANARY}")):
        broken = client.get("/v1/datasets", headers=bob)
    assert (broken.status_code, broken.json()["code"]) == (500, "internal")
    wrong = client.post("/v1/sessions", json={"username": "bob", "password": {"value": CANARY}})
    unread = client.post(
        "/v1/sessions", content=f'{{"password": "{CANARY}', headers={"Content-Type": "application/json"}
    )
    for answer in (broken, wrong, unread):
        assert CANARY not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["x-request-id"]
    assert (wrong.status_code, unread.status_code) == (422, 422)


@pytest.mark.parametrize(
    "filter_", ["password_hash", "refresh_hash", "totp_sealed", "token_hash", "role__gt"]
)
def test_no_list_is_filtered_by_what_it_does_not_show(node: NodeUnderTest, filter_: str) -> None:
    """Hidden columns guessed letter by letter through filters, CWE-200; CVE-2023-22894 (Strapi)."""
    ana, bob = node.as_("ana"), node.as_("bob")
    for path in ("/v1/users", "/v1/datasets", "/v1/requests", "/v1/audit", "/v1/sessions"):
        plain, narrowed = (
            node.client.get(path, params=params, headers=bob)
            for params in ({}, {filter_: "a", f"{filter_}[$startsWith]": "$argon2id", "sort": filter_})
        )
        assert narrowed.status_code == 422 or narrowed.json() == plain.json()
    assert node.client.get("/v1/users", headers=ana).status_code == 403


def test_no_answer_has_a_place_for_a_hash_or_a_secret(node: NodeUnderTest) -> None:
    """Keys and hashes in answers, CWE-522; the old systems listed both."""
    schemas = node.client.app.openapi()["components"]["schemas"]  # type: ignore[attr-defined]
    shown = {
        f"{name}.{field}"
        for name, schema in schemas.items()
        if name.endswith(("Out", "Info"))
        for field in schema.get("properties", {})
    }
    words = ("password", "hash", "secret", "sealed_totp", "totp_sealed", "private")
    assert not [one for one in shown if any(word in one.rsplit(".", 1)[1] for word in words)]
    for path in ("/v1/keys", "/v1/users/keys", "/keys", "/v1/node/keys", "/.git/config", "/.env"):
        assert node.client.get(path, headers=node.as_("bob")).status_code in (404, 405)


def test_what_a_dataset_says_of_itself_holds_no_value(node: NodeUnderTest) -> None:
    """Values in listings and descriptions, CWE-200: only names, types and shapes are told."""
    value = 271828.1828
    data = publish(node, node.as_("bob"), {"x": np.full(20, value)}, access=OPEN)
    digest = hashlib.sha256(np.full(20, value).tobytes()).hexdigest()
    for path in ("/v1/datasets", f"/v1/datasets/{data['id']}", "/v1/requests", "/v1/notifications"):
        said = node.client.get(path, headers=node.as_("ana")).text
        assert "271828" not in said
        assert digest not in said

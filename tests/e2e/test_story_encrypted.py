"""Story 3 of the SDK's contract: encrypted models over real processes, and what nobody may do with them."""

import secrets
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import torch
from torch import nn

import gridward as gw
from gridward.api.parties.documents import compile_document
from gridward.core.identity import encode_key
from gridward.core.schemas.deployments import DeploymentDocument
from gridward.core.smpc import purposes
from gridward.core.smpc.query import mask_input, reconstruct_output
from gridward.core.smpc.ring import from_bytes, to_bytes
from gridward.core.smpc.sealing import public_key, unseal
from tests.support.grids import Grid, eventually
from tests.support.served import (
    PARTIES,
    Unsupported,
    found,
    held,
    integrity,
    linear,
    secret_files,
    serve,
    small_net,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def dana(grid: Grid) -> Iterator[gw.GatewayClient]:
    """Admitted at the company, where the models are; she has no account at any party."""
    with grid.owner("company") as company:
        company.admit("dana@grid")
    with grid.user("dana") as dana:
        yield dana


@pytest.fixture(scope="module")
def net(grid: Grid, dana: gw.GatewayClient) -> Iterator[nn.Sequential]:
    model = small_net()
    serve(grid, model, "net", torch.randn(1, 1, 8, 8))
    eventually(lambda: found(dana, "net"), "the gateway to know the model")
    yield model
    with grid.owner("company") as company:
        company.withdraw_model("net")


def test_the_linear_example_gives_1022_encrypted_and_in_the_clear(grid: Grid, dana: gw.GatewayClient) -> None:
    x = torch.tensor([[5.0, 3.0]])
    serve(grid, linear(), "linear", x)
    with grid.owner("company") as company:
        company.serve_model(linear(), "linear-clear", x, allow_remote_inference=True)
    eventually(lambda: found(dana, "linear"), "the encrypted model")
    eventually(lambda: found(dana, "linear-clear"), "the model in the clear")
    assert dana.query_model("linear", x, mpc=True).item() == pytest.approx(1022, abs=2**-15)
    assert dana.query_model("linear", x[0], mpc=True).shape == (1,)
    assert dana.query_model("linear-clear", x, mpc=False).item() == 1022


def test_a_network_answers_as_in_the_clear_for_several_batch_sizes(
    dana: gw.GatewayClient, net: nn.Sequential
) -> None:
    torch.manual_seed(8)
    for batch in (1, 3):
        x = torch.randn(batch, 1, 8, 8)
        answer = dana.ask_encrypted("net", x)
        with torch.no_grad():
            assert torch.allclose(answer.output, net(x), atol=1e-3)


def test_shares_and_inputs_larger_than_a_stranger_may_send_arrive(grid: Grid, dana: gw.GatewayClient) -> None:
    torch.manual_seed(9)
    model, x = nn.Linear(512, 20), torch.randn(20, 512)  # 80 KiB of shares, 80 KiB of masked input
    serve(grid, model, "wide", x[:1])
    eventually(lambda: found(dana, "wide"), "the wide model")
    with torch.no_grad():
        assert torch.allclose(dana.query_model("wide", x, mpc=True), model(x), atol=1e-2)


def test_the_stated_costs_are_those_that_a_query_takes(dana: gw.GatewayClient, net: nn.Sequential) -> None:
    described = dana.describe_model("net")
    assert isinstance(described, gw.EncryptedModel)
    assert described.parties == ("hospital", "public")
    assert described.levels in (1, 2)
    assert (described.host, described.crypto_provider) == ("company", "university")
    answer = dana.ask_encrypted("net", torch.randn(1, 1, 8, 8))
    assert answer.rounds == described.rounds
    assert answer.sent_bytes == 2 * described.online_bytes_per_party
    assert described.measured_error is not None
    assert described.measured_error < 1e-3


def test_a_calibrated_model_costs_less_and_names_what_leaves_its_bits(
    grid: Grid, dana: gw.GatewayClient
) -> None:
    torch.manual_seed(11)
    model, samples = small_net(), torch.rand(20, 1, 8, 8)
    ranges = gw.Ranges(input=(0.0, 64.0), calibrate=samples, guard=True)
    serve(grid, model, "calibrated", samples[:1], ranges=ranges)
    eventually(lambda: found(dana, "calibrated"), "the calibrated model")
    told = dana.describe_model("calibrated")
    assert isinstance(told, gw.EncryptedModel) and told.at_full_width is not None
    assert told.bits and max(told.bits.values()) < 32
    assert told.online_bytes_per_party < told.at_full_width.online_bytes_per_party
    assert (told.guard, told.input_range) == (True, (0.0, 64.0))
    assert "told to the asker" in str(told) and "at full width" in str(told)
    answer = dana.ask_encrypted("calibrated", samples[:3])
    with torch.no_grad():
        assert torch.allclose(answer.output, model(samples[:3]), atol=1e-3)
    one = dana.ask_encrypted("calibrated", samples[3])
    assert (one.rounds, one.sent_bytes) == (told.rounds, 2 * told.online_bytes_per_party)
    with pytest.raises(gw.RangeViolationError, match=r"max_pool2d.*: gate \d+ .*calibrated"):
        dana.ask_encrypted("calibrated", samples[:1] * 64)
    with pytest.raises(gw.OutOfRangeError, match="this model takes 0 to 64"):
        dana.ask_encrypted("calibrated", samples[:1] - 1)
    with torch.no_grad():
        assert torch.allclose(
            dana.query_model("calibrated", samples[4], mpc=True), model(samples[4:5])[0], atol=1e-3
        )


def test_samples_beyond_the_declared_range_are_refused_before_anything_is_sent(grid: Grid) -> None:
    ranges = gw.Ranges(input=(0.0, 1.0), calibrate=torch.full((2, 1, 8, 8), 2.0))
    with pytest.raises(gw.OutOfRangeError, match="this model takes 0 to 1"):
        serve(grid, small_net(), "badly-calibrated", torch.zeros(1, 1, 8, 8), ranges=ranges)
    for wrong in (
        gw.Ranges(input=(1.0, 0.0)),
        gw.Ranges(margin_bits=0),
        gw.Ranges(calibrate=torch.zeros(0, 1, 8, 8)),
    ):
        with pytest.raises(gw.InvalidInputError, match=r"range|margin|samples"):
            serve(grid, small_net(), "badly-calibrated", torch.zeros(1, 1, 8, 8), ranges=wrong)


def test_parties_meet_on_direct_sockets_where_both_offer_one_and_over_websockets_elsewhere(
    grid: Grid, dana: gw.GatewayClient, net: nn.Sequential
) -> None:
    assert dana.describe_model("net").lanes == ("tls",)
    serve(
        grid,
        linear(),
        "mixed",
        torch.zeros(1, 2),
        parties=["hospital", "university"],
        crypto_provider="public",
    )
    eventually(lambda: found(dana, "mixed"), "the mixed model")
    assert dana.describe_model("mixed").lanes == ("websocket",)
    for _ in range(2):
        assert dana.query_model("mixed", torch.tensor([5.0, 3.0]), mpc=True).item() == pytest.approx(
            1022, abs=2**-15
        )


def test_queries_opened_ahead_answer_as_others_do_and_outlive_a_restart(
    grid: Grid, dana: gw.GatewayClient, net: nn.Sequential
) -> None:
    torch.manual_seed(10)
    with dana.prepared_queries("net", batch=2, ahead=2) as ask:
        for _ in range(5):
            x = torch.randn(2, 1, 8, 8)
            with torch.no_grad():
                assert torch.allclose(ask(x).output, net(x), atol=1e-3)
        with pytest.raises(gw.InvalidInputError, match="2 rows are prepared"):
            ask(x[:1])
        for restarted in (PARTIES[:1], PARTIES[1:], PARTIES):
            eventually(lambda: ask.ready == 2 or None, "two open queries")
            for party in restarted:
                grid.nodes[party].kill()
                grid.nodes[party].start()
            grid.await_live()
            with torch.no_grad():
                assert torch.allclose(ask(x).output, net(x), atol=1e-3)
        with ThreadPoolExecutor(4) as pool:  # more callers than open queries
            answers = [answer.output for answer in pool.map(ask, [x] * 4)]
        with torch.no_grad():
            assert all(torch.allclose(answer, net(x), atol=1e-3) for answer in answers)
    with pytest.raises(gw.InvalidInputError, match="closed"):
        ask(x)


def test_any_http_client_can_take_the_two_steps_of_a_query(dana: gw.GatewayClient, grid: Grid) -> None:
    x = torch.tensor([[5.0, 3.0]])
    serve(grid, linear(), "plain-http", x)
    eventually(lambda: found(dana, "plain-http"), "the model")
    place = dana.model_node("plain-http")
    document = DeploymentDocument.model_validate(
        place.transport.send("GET", "/v1/models/plain-http/deployment").json()["document"]
    )
    private = secrets.token_bytes(32)
    key = encode_key(public_key(private))
    query = place.transport.send("POST", "/v1/models/plain-http/queries", body={"seal_key": key}).json()
    subkeys, shares, calls = [], [], []
    for party, grant in enumerate(query["grants"]):
        path = f"{grant['url']}/v1/parties/deployments/{document.id}/queries/{query['id']}"
        headers = {"Authorization": f"Bearer {grant['token']}"}
        sealed = b64decode(httpx2.post(path, headers=headers, timeout=30).json()["sealed"])
        subkeys.append(unseal(private, sealed, purposes.subkey(query["id"], party)))
        calls.append((f"{path}/answer", headers))
    program = compile_document(document, 1)
    masked = to_bytes(mask_input(program, x.double().numpy(), subkeys))
    with ThreadPoolExecutor(2) as pool:
        answers = [
            pool.submit(httpx2.post, path, content=masked, headers=headers, timeout=30)
            for path, headers in calls
        ]
    for party, answer in enumerate(answers):
        sealed = b64decode(answer.result().json()["sealed"])
        words = unseal(private, sealed, purposes.answer(query["id"], party))
        shares.append(from_bytes(words, program.output.shape))
    assert reconstruct_output(program, shares).item() == pytest.approx(1022, abs=2**-15)


def test_who_may_not_infer_encrypted_gets_nothing(grid: Grid, net: nn.Sequential) -> None:
    with grid.user("eve") as eve, pytest.raises(gw.AuthorizationError):
        eve.query_model("net", torch.randn(1, 1, 8, 8), mpc=True)


def test_one_owner_cannot_fill_two_roles(grid: Grid) -> None:
    for wish in (
        {"parties": ["hospital", "hospital"]},
        {"parties": ["hospital", "university"]},
        {"parties": ["hospital", "company"]},
        {"crypto_provider": "company"},
    ):
        with pytest.raises(gw.DeploymentRefusedError, match=r"no owner|cannot be both"):
            serve(grid, linear(), "twice", torch.zeros(1, 2), **wish)
    with grid.owner("company") as company:
        assert "twice" not in [model.id for model in company.models()]


def test_the_gateway_chooses_roles_that_are_not_named(grid: Grid, dana: gw.GatewayClient) -> None:
    served = serve(grid, linear(), "chosen", torch.zeros(1, 2), parties=(), crypto_provider=None)
    assert isinstance(served, gw.EncryptedModel)
    assert len({*served.parties, served.crypto_provider, served.host}) == 4


def test_a_model_with_an_unsupported_operation_is_refused_before_anything_is_sent(grid: Grid) -> None:
    with pytest.raises(gw.PlanRejectedError, match=r"step \d+ aten.sin.*step \d+ aten.cumsum"):
        serve(grid, Unsupported(), "unsupported", torch.zeros(1, 2))


def test_shares_have_no_way_out_and_the_host_holds_no_parameter(
    grid: Grid, dana: gw.GatewayClient, net: nn.Sequential
) -> None:
    document = dana.model_node("net").transport.send("GET", "/v1/models/net/deployment").json()["document"]
    party = grid.nodes["hospital"].url
    path = f"{party}/v1/parties/deployments/{document['id']}"
    with grid.owner("hospital") as owner:
        token = owner.transport.credentials.token()  # type: ignore[union-attr]
    headers = {"Authorization": f"Bearer {token}"}
    for suffix in ("", "/parameters", "/model", "/shares", "/bundles", "/queries"):
        assert httpx2.get(path + suffix, headers=headers).status_code in (404, 405)
    assert httpx2.post(f"{path}/queries/{'0' * 32}", headers=headers).status_code in (401, 403, 404)
    assert httpx2.put(f"{path}/parameters", content=b"x", headers=headers).status_code in (401, 403, 404)
    held = [file for file in grid.nodes["company"].data_dir.rglob("*") if file.is_file()]
    weights = net[0].weight.detach().numpy().tobytes()
    assert all(weights not in file.read_bytes() for file in held)


def test_a_grant_of_one_query_opens_nothing_else(dana: gw.GatewayClient, net: nn.Sequential) -> None:
    host = dana.model_node("net").transport
    ask = {"batch": 1, "seal_key": "A" * 42 + "E"}
    first, second = (host.send("POST", "/v1/models/net/queries", body=ask).json() for _ in range(2))
    grant = first["grants"][0]
    path = f"{grant['url']}/v1/parties/deployments/{first['deployment_id']}"
    headers = {"Authorization": f"Bearer {grant['token']}"}
    assert httpx2.post(f"{path}/queries/{second['id']}", headers=headers).status_code == 403
    assert httpx2.put(f"{path}/parameters", content=b"x", headers=headers).status_code == 403
    other = first["grants"][1]["url"] + f"/v1/parties/deployments/{first['deployment_id']}"
    assert httpx2.post(f"{other}/queries/{first['id']}", headers=headers).status_code == 401
    assert httpx2.delete(path, headers=headers).status_code in (401, 403, 404)


def test_a_party_killed_between_spend_and_use_never_uses_the_bundle_again(
    grid: Grid, dana: gw.GatewayClient, net: nn.Sequential
) -> None:
    host = dana.model_node("net").transport
    query = host.send("POST", "/v1/models/net/queries", body={"batch": 1, "seal_key": "A" * 42 + "E"}).json()
    grant = query["grants"][0]
    path = f"{grant['url']}/v1/parties/deployments/{query['deployment_id']}/queries/{query['id']}"
    headers = {"Authorization": f"Bearer {grant['token']}"}
    assert httpx2.post(path, headers=headers, timeout=30).status_code == 201
    hospital = grid.nodes["hospital"]
    hospital.kill()
    hospital.start()
    repeated = httpx2.post(path, headers=headers, timeout=30)
    assert (repeated.status_code, repeated.json()["code"]) == (409, "empty_crypto_store")
    grid.await_live()
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(dana.query_model("net", x, mpc=True), net(x), atol=1e-3)


@pytest.mark.parametrize("victim", ["public", "company"])
def test_every_role_may_be_killed_and_the_next_query_works_after_its_return(
    grid: Grid, dana: gw.GatewayClient, net: nn.Sequential, victim: str
) -> None:
    node = grid.nodes[victim]
    node.kill()
    x = torch.randn(2, 1, 8, 8)
    with pytest.raises(gw.GridError, match=rf"(?i){victim}|net"):
        dana.query_model("net", x, mpc=True)
    node.start()
    grid.await_live()
    with torch.no_grad():
        assert torch.allclose(dana.query_model("net", x, mpc=True), net(x), atol=1e-3)
    assert integrity(node.data_dir / "gridward.db") == "ok"


def test_parties_ask_on_while_the_provider_is_down_and_say_when_nothing_is_left(
    grid: Grid, dana: gw.GatewayClient, net: nn.Sequential
) -> None:
    x = torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        expected = net(x)
    dana.query_model("net", x, mpc=True)
    for party in PARTIES:
        eventually(lambda party=party: held(grid, party, "net", 6)["left"] >= 2 or None, "a stock of bundles")
    provider = grid.nodes["university"]
    provider.kill()
    for _ in range(2):
        assert torch.allclose(dana.query_model("net", x, mpc=True), expected, atol=1e-3)
    with pytest.raises(
        gw.EmptyCryptoPrimitiveStoreError, match=r"no bundle 0 for queries of 7 rows.*university"
    ):
        dana.query_model("net", torch.randn(7, 1, 8, 8), mpc=True)
    provider.start()
    grid.await_live()
    seven = torch.randn(7, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(dana.query_model("net", seven, mpc=True), net(seven), atol=1e-3)
    assert integrity(provider.data_dir / "gridward.db") == "ok"


def test_the_accounts_of_provider_and_parties_agree(grid: Grid, dana: gw.GatewayClient) -> None:
    serve(grid, linear(), "counted", torch.zeros(1, 2))  # no party of it was killed over a packet
    eventually(lambda: found(dana, "counted"), "the counted model")
    for batch in (1, 2):
        dana.query_model("counted", torch.randn(batch, 2), mpc=True)

    def agree() -> bool | None:
        with grid.owner("university") as owner:
            dealt = owner.transport.send("GET", "/v1/bundles").json()["dealt"]
        (ours,) = [one for one in dealt if one["model_id"] == "counted"]
        for account in ours["parties"]:
            with grid.owner(account["party"]) as owner:
                bundles = owner.transport.send("GET", "/v1/bundles").json()["held"]
            (stock,) = [one["stock"] for one in bundles if one["model_id"] == "counted"]
            had = sum(one["left_bytes"] + one["spent_bytes"] for one in stock)
            if had != account["packet_bytes"] or had == 0:
                return None
        return True

    eventually(agree, "the accounts to agree")


def test_a_withdrawn_model_leaves_no_share_and_no_secret_behind(grid: Grid, dana: gw.GatewayClient) -> None:
    serve(grid, linear(), "brief", torch.zeros(1, 2))
    with grid.owner("company") as company:
        answer = company.transport.send("GET", "/v1/models/brief/deployment").json()
        deployment_id = answer["document"]["id"]
        held = {name: secret_files(grid, name, deployment_id) for name in grid.nodes}
        assert held["hospital"] and held["public"] and held["university"] and not held["company"]
        company.withdraw_model("brief")
    eventually(
        lambda: not any(secret_files(grid, name, deployment_id) for name in grid.nodes) or None, "the wiping"
    )
    with pytest.raises(gw.ObjectNotFoundError):
        dana.query_model("brief", torch.zeros(1, 2), mpc=True)


def test_a_deployment_that_is_ready_takes_no_other_parameters(grid: Grid) -> None:
    serve(grid, linear(), "fixed", torch.zeros(1, 2))
    with grid.owner("company") as company:
        deployment = company.transport.send("GET", "/v1/models/fixed/deployment").json()
        assert (deployment["state"], deployment["parameter_grants"]) == ("ready", [])
        company.withdraw_model("fixed")

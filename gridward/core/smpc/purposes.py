"""What a sealed message is for, as one string: bound into the seal, so that none passes for another."""


def setup(deployment_id: str, party: int) -> str:
    """The provider's set-up packet for a party."""
    return f"gridward/setup/{deployment_id}/{party}"


def bundle(deployment_id: str, party: int, serial: str, packet_bytes: int, piece: int) -> str:
    """One piece of the provider's packet of a bundle for a party; the serial names batch size and number."""
    return f"gridward/bundle/{deployment_id}/{party}/{serial}/{packet_bytes}/{piece}"


def parameters(deployment_id: str, party: int) -> str:
    """The model owner's parameter shares for a party."""
    return f"gridward/parameters/{deployment_id}/{party}"


def subkey(query_id: str, party: int) -> str:
    """A party's input subkey for the client."""
    return f"gridward/subkey/{query_id}/{party}"


def answer(query_id: str, party: int) -> str:
    """A party's output share for the client."""
    return f"gridward/answer/{query_id}/{party}"


def sum_share(document_digest: str, contributor_id: str, aggregator_id: str) -> str:
    """A contributor's share of a secure sum for an aggregator; the digest covers session and contributors."""
    return f"gridward/sum-share/{document_digest}/{contributor_id}/{aggregator_id}"


def sum_answer(document_digest: str, aggregator_id: str) -> str:
    """An aggregator's share of a total for the asker."""
    return f"gridward/sum-answer/{document_digest}/{aggregator_id}"


def update_share(document_digest: str, piece: int, contributor_id: str, aggregator_id: str) -> str:
    """A contributor's share of one piece of a sum of updates, for an aggregator."""
    return f"gridward/update-share/{document_digest}/{piece}/{contributor_id}/{aggregator_id}"


def update_sum(document_digest: str, piece: int, contributors: str, aggregator_id: str) -> str:
    """An aggregator's share of a sum of updates, for the asker: of exactly these contributors."""
    return f"gridward/update-sum/{document_digest}/{piece}/{contributors}/{aggregator_id}"

import pytest

from gridward.api.parties.places import Places
from gridward.core.errors import BusyError


def test_a_key_has_so_many_places_and_none_is_lost() -> None:
    places = Places()
    with places.hold({"a": 2, "all": 3}), places.hold({"a": 2, "all": 3}):
        with pytest.raises(BusyError), places.hold({"a": 2, "all": 3}):
            pass
        with places.hold({"b": 2, "all": 3}), pytest.raises(BusyError), places.hold({"c": 2, "all": 3}):
            pass
    assert len(places) == 0

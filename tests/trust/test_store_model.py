"""Any sequence of answers, repeats and corrections: the store does what a simple list does."""

import uuid
from collections import Counter
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studykit.catalog import InputError
from studykit.trust.event import STEPS, Event
from studykit.trust.store import Store

QUESTION = ("reader", "case", "condition", "item", "step", "repeat")


class Simple:
    """What must be, by the words of the rules: a list of the events that count."""

    def __init__(self):
        self.events = []

    def append(self, events):
        """(number, new) of each event, or None where all are refused."""
        before, receipts = list(self.events), []
        for event in events:
            numbers = [at for at, kept in enumerate(self.events, 1) if kept.client == event.client]
            if numbers and repr(self.events[numbers[0] - 1]) == repr(event):  # 1 is not True
                receipts.append((numbers[0], False))
            elif numbers or not self.allowed(event):
                self.events = before
                return None
            else:
                self.events.append(event)
                receipts.append((len(self.events), True))
        return receipts

    def allowed(self, event):
        same = [kept for kept in self.events if all(getattr(kept, n) == getattr(event, n) for n in QUESTION)]
        if event.step == "first":
            for kept in self.events:
                reading = [(kept.reader, kept.case, kept.repeat), (event.reader, event.case, event.repeat)]
                if kept.step in ("shown", "final") and reading[0] == reading[1]:
                    return False
        return event.corrects == (same[-1].client if same else "")


@st.composite
def submits(draw):
    """Submits in which much is sent again, corrected, or clashes with what was sent before."""
    sent, batches = [], []
    for size in draw(st.lists(st.integers(1, 3), min_size=1, max_size=10)):
        for _ in range(size):
            kind = draw(st.sampled_from(["new"] * 5 + ["again"] * 2 + ["correct"] * 3 + ["clash"]))
            if kind == "new" or not sent:
                places = [draw(st.sampled_from(letters)) for letters in ("ab", "xy", "m", "pq")]
                step, repeat = draw(st.sampled_from(STEPS)), draw(st.sampled_from([0, 0, 0, 1]))
                event = Event(*places, rating=1, step=step, repeat=repeat, client=f"e{len(sent)}")
            else:
                event = draw(st.sampled_from(sent))
                change = {"corrects": event.client, "reason": "slipped", "client": f"e{len(sent)}"}
                event = replace(event, **{"again": {}, "correct": change, "clash": {"rating": True}}[kind])
            sent.append(event)
        batches.append(sent[-size:])
    return batches


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request, tmp_path_factory):
    if request.param == "sqlite":
        made = Store(tmp_path_factory.mktemp("model") / "ratings.db")
    else:
        made = Store(request.getfixturevalue("postgres_server").address())
    yield made
    made.close()


def test_the_store_does_what_a_simple_list_does(store):
    seen = Counter()

    @settings(max_examples=60, deadline=None)
    @given(batches=submits())
    def compared(batches):
        simple, name = Simple(), uuid.uuid4().hex
        store.begin(name, "{}")
        for batch in batches:
            wanted = simple.append(batch)
            if wanted is None:
                seen["refused"] += 1
                with pytest.raises(InputError):
                    store.append(name, batch)
            else:
                assert [(r.number, r.new) for r in store.append(name, batch)] == wanted
                seen.update("kept" if new else "again" for _, new in wanted)
        seen["corrected"] += sum(bool(event.corrects) for event in simple.events)
        assert store.verify(name).events == len(simple.events)
        table = store.events(name)[[field.name for field in fields(Event)]]
        kept = [Event(**row | {"elapsed": None}) for row in table.to_dict("records")]
        assert list(map(repr, kept)) == list(map(repr, simple.events))

    compared()
    assert min(seen[kind] for kind in ("kept", "again", "corrected", "refused")) > 10, seen

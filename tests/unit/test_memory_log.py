"""The in-memory log under arbitrary histories: readers of committed records are never misled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.broker.memory.cluster import Cluster, StaleEpoch
from chiron_stream.broker.records import Isolation, Outgoing, Partition, TopicState

PLACES = (Partition("t", 0), Partition("t", 1))
WRITERS = ("w0", "w1")

steps = st.lists(
    st.one_of(
        st.tuples(st.just("plain"), st.sampled_from(PLACES)),
        st.tuples(st.just("start"), st.sampled_from(WRITERS)),
        st.tuples(st.just("send"), st.sampled_from(WRITERS), st.sampled_from(PLACES)),
        st.tuples(st.just("commit"), st.sampled_from(WRITERS)),
        st.tuples(st.just("wait"), st.sampled_from((1.0, 6.0))),
    ),
    max_size=40,
)


class Model:
    """What should be there: values by writer and epoch, and what became of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cluster = Cluster(clock=lambda: self.now)
        self.cluster.create("t", TopicState(partitions=2))
        self.epochs: dict[str, int] = {}
        self.open: dict[str, list[bytes]] = {writer: [] for writer in WRITERS}
        self.committed: set[bytes] = set()
        self.sent = 0

    def do(self, kind: str, *what: object) -> None:
        getattr(self, kind)(*what)

    def value(self) -> bytes:
        self.sent += 1
        return b"%d" % self.sent

    def plain(self, place: Partition) -> None:
        value = self.value()
        self.cluster.append(Outgoing(place, value))
        self.committed.add(value)

    def start(self, writer: str) -> None:
        self.epochs[writer] = self.cluster.start_writer(writer, timeout=5.0)
        self.open[writer] = []

    def send(self, writer: str, place: Partition) -> None:
        if writer in self.epochs:
            value = self.value()
            try:
                record = Outgoing(place, value)
                self.cluster.append_in_transaction(writer, self.epochs[writer], record)
                self.open[writer].append(value)
            except StaleEpoch:
                self.open[writer] = []

    def commit(self, writer: str) -> None:
        if writer in self.epochs:
            try:
                self.cluster.commit(writer, self.epochs[writer])
                self.committed |= set(self.open[writer])
            except StaleEpoch:
                pass
            self.open[writer] = []

    def wait(self, seconds: float) -> None:
        self.now += seconds


def read(cluster: Cluster, place: Partition, isolation: Isolation) -> list[bytes]:
    return [record.value for record in cluster.read(place, 0, 1000, isolation)[0]]


@given(steps)
def test_readers_see_committed_records_in_order_and_nothing_else(
    history: list[tuple[str, object]],
) -> None:
    model = Model()
    for kind, *what in history:
        model.do(kind, *what)
        for place in PLACES:
            marks = model.cluster.watermarks(place)
            assert marks.low <= marks.stable <= marks.high
            shown = read(model.cluster, place, Isolation.READ_COMMITTED)
            assert set(shown) <= model.committed
            assert sorted(shown, key=int) == shown
    for writer in WRITERS:
        model.start(writer)  # settles whatever is open
    everything = [read(model.cluster, place, Isolation.READ_COMMITTED) for place in PLACES]
    assert {value for shown in everything for value in shown} == model.committed

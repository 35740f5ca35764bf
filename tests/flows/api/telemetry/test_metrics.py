"""The metrics are counts of what was answered, in a form that Prometheus reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from flows.api.telemetry.histograms import BucketCounts

FINITE = st.floats(-1e6, 1e6)


@given(st.lists(FINITE, min_size=1, unique=True), st.lists(FINITE))
def test_a_bucket_holds_what_is_at_most_its_edge(edges, values):
    edges = np.sort(edges)
    tally = BucketCounts(edges)
    half = len(values) // 2
    tally.add(np.array(values[:half], float))
    tally.add(np.array(values[half:], float))
    counts = [count for _, count in tally.buckets()]
    assert counts == [*(sum(v <= edge for v in values) for edge in edges), len(values)]
    assert tally.total == pytest.approx(sum(values), abs=1e-3)


def test_what_was_answered_is_counted(ready):
    rows = ready.rows()
    message = ready.http.post("/score", json=rows).json()["rows"]
    ready.http.post("/invocations", json={"dataframe_records": rows[:5]})
    ready.http.post("/score", json=[{**rows[0], "mean area": None}])
    ready.http.post("/score", content=b"{", headers={"Content-Type": "application/json"})
    alerts = sum(row["is_anomaly"] for row in message)
    again = sum(row["is_anomaly"] for row in message[:5])
    assert 0 < alerts < len(rows)
    labels = {"version": "2"}
    assert ready.metric("dagmm_energy_count", verdict="alert", **labels) == alerts + again
    assert ready.metric("dagmm_p_value_count", **labels) == len(rows) + 5
    total = sum(row["energy"] for row in [*message, *message[:5]] if row["is_anomaly"])
    assert ready.metric("dagmm_energy_sum", verdict="alert") == pytest.approx(total)
    assert ready.metric("dagmm_requests_total", endpoint="/score", status="200") == 1
    assert ready.metric("dagmm_requests_total", endpoint="/score", status="400") == 2
    assert ready.metric("dagmm_request_seconds_count", endpoint="/invocations") == 1
    assert ready.metric("dagmm_rejected_rows_total", reason="mean area: missing value") == 1
    assert ready.metric("dagmm_refused_requests_total", reason="malformed") == 1
    assert ready.metric("dagmm_model_info", model="dagmm-wdbc", detector="dagmm") == 1
    assert 0 < ready.metric("dagmm_model_age_seconds") < 86_400


def test_an_alert_is_above_the_edge_that_is_the_threshold(ready):
    ready.http.post("/score", json=ready.rows())
    threshold = f"{ready.follower.current.threshold:g}"
    below = ready.metric("dagmm_energy_bucket", verdict="normal", le=threshold)
    assert below == ready.metric("dagmm_energy_count", verdict="normal")
    assert ready.metric("dagmm_energy_bucket", verdict="alert", le=threshold) == 0


def test_prometheus_reads_them(ready):
    ready.http.post("/score", json=ready.rows())
    text = ready.http.get("/metrics").text
    actual = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"dagmm_energy", "dagmm_requests", "dagmm_registry_up", "process_resident_memory_bytes"}
    assert actual["dagmm_energy"].type == "histogram"
    assert all(name.startswith(("dagmm_", "process_")) for name in actual)
